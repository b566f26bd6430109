#!/bin/sh
# Installs, upgrades or removes the Wardwatch program that lies beside this script: POSIX sh, for BusyBox too.
# Calling it again does no harm; identity, keys and reports are kept unless --purge says otherwise.
set -eu

usage() {
    cat <<'END'
Usage: sh install.sh [OPTION...]            install, or upgrade what is installed
       sh install.sh --remove [OPTION...]   remove, keeping identity, keys and reports
       sh install.sh --remove --purge       remove these too

For the agent all other options go to `wardwatch-agent install` or `wardwatch-agent uninstall`, such as --program FILE
and --state-dir DIR where /usr is read-only. A file wardwatch-enrol.txt beside this script enrols the machine and is
then removed.
END
}

fail() { # a message of problem, consequence and remedy
    echo "install.sh: $*" >&2
    exit 3
}

# The folder itself, or the nearest above it that is there.
existing() {
    folder=$1
    while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
    echo "$folder"
}

# What an earlier `wardwatch-agent install` wrote down.
written() { # variable, what it is otherwise
    value=$(sed -n "s/^$1=//p" /etc/default/wardwatch-agent 2>/dev/null | tail -n 1 | tr -d '"')
    echo "${value:-$2}"
}

need_space() { # kilobytes, folder
    folder=$(existing "$2")
    free=$(df -Pk "$folder" 2>/dev/null | { read -r _ && read -r _ _ _ free _ && echo "$free"; }) || free=
    case $free in
    '' | *[!0-9]*) echo "how much space $folder has is unknown: df does not say" ;;
    *)
        [ "$free" -ge "$1" ] || fail "$folder has $free KiB free and $1 KiB are needed, so nothing was changed." \
            "Make space, or for the agent name places elsewhere with --program and --state-dir."
        ;;
    esac
}

check_sums() {
    if ! command -v sha256sum >/dev/null; then
        echo "whether this package is whole is unknown: there is no sha256sum here"
    elif ! sums=$(sha256sum -c SHA256SUMS 2>&1); then
        echo "$sums" | grep -v ': OK$' >&2 || true
        fail "this package is damaged or was changed, so nothing was changed here. Copy it here again."
    fi
}

check_runs() {
    "./$program" --version >/dev/null 2>&1 || fail "$program does not run here, so nothing was changed." \
        "Either $(cat PACKAGE) is for another machine than this $(uname -m), or this folder may not hold programs" \
        "(mounted noexec): then unpack elsewhere."
}

install_agent() {
    size=$(($(wc -c <wardwatch-agent) / 1024 + 1))
    if [ ! -e "$state/identity.json" ]; then
        # Reports, and later upgrades in two slots.
        need_space $((8192 + 2 * size)) "$state"
    fi
    need_space "$size" "$(dirname "$place")"
    if [ -f wardwatch-enrol.txt ]; then
        set -- --string-file "$PWD/wardwatch-enrol.txt" "$@"
    fi
    # It would ask for the enrolment string, and scripts must not wait for anybody.
    ./wardwatch-agent install "$@" </dev/null
}

make_user() {
    if grep -q '^wardwatch:' /etc/passwd; then
        return
    elif command -v useradd >/dev/null; then
        useradd --system --user-group --home-dir "$data" --no-create-home --shell /usr/sbin/nologin wardwatch
    elif command -v addgroup >/dev/null; then
        addgroup -S wardwatch
        adduser -S -D -H -h "$data" -s /bin/false -G wardwatch wardwatch
    else
        fail "there is neither useradd nor addgroup to make the collector's user, so nothing was changed." \
            "Add a user and a group wardwatch to /etc/passwd and /etc/group, and call this again."
    fi
}

install_collector() {
    [ $# -eq 0 ] || fail "the collector knows no option $1, so nothing was changed."
    # A database grows; this is for the beginning.
    need_space 102400 "$data"
    need_space $(($(wc -c <wardwatch-collector) / 1024 + 1)) "$(dirname "$place")"
    make_user
    mkdir -p "$(dirname "$place")" "$data"
    chown wardwatch:wardwatch "$data"
    chmod 700 "$data"
    # Beside the old one and then over it: a running program cannot be written to.
    cp wardwatch-collector "$place.new"
    chmod 755 "$place.new"
    mv -f "$place.new" "$place"
    start="$place run --config $data/collector.toml"
    if [ -d "$units" ]; then
        sed "s,^ExecStart=/usr/bin/,ExecStart=$(dirname "$place")/," wardwatch-collector.service >"$unit"
        start="systemctl start wardwatch-collector"
        if [ -d /run/systemd/system ]; then
            systemctl daemon-reload
            systemctl enable wardwatch-collector
            systemctl restart wardwatch-collector
        fi
    fi
    if [ ! -e "$data/collector.toml" ]; then
        echo "The collector needs keys before it starts. Next, with the name by which agents reach this machine:"
        echo "  su -s /bin/sh -c '$place init --data-dir $data --advertise NAME' wardwatch"
        echo "  $start"
    fi
}

remove_collector() {
    if [ -d /run/systemd/system ] && [ -e "$unit" ]; then
        systemctl disable --now wardwatch-collector
    fi
    rm -f "$place" "$unit"
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
    if [ "${1:-}" = --purge ]; then
        rm -rf "$data"
        userdel wardwatch 2>/dev/null || deluser wardwatch 2>/dev/null || true
    elif [ -e "$data" ]; then
        echo "kept: $data with keys, database and evidence; --remove --purge removes it"
    fi
}

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
    usage
    exit 0
fi
remove=no
if [ "${1:-}" = --remove ]; then
    remove=yes
    shift
fi
cd "$(dirname "$0")"
units=/etc/systemd/system
unit=$units/wardwatch-collector.service
if [ -f wardwatch-agent ]; then
    program=wardwatch-agent place=/usr/sbin/wardwatch-agent state=/var/lib/wardwatch-agent
    place=$(written PROGRAM "$place") state=$(written WARDWATCH_STATE_DIR "$state")
    before=
    for argument in "$@"; do
        case $before in
        --program) place=$argument ;;
        --state-dir) state=$argument ;;
        esac
        case $argument in
        --program=*) place=${argument#*=} ;;
        --state-dir=*) state=${argument#*=} ;;
        esac
        before=$argument
    done
elif [ -f wardwatch-collector ]; then
    program=wardwatch-collector place=/usr/local/bin/wardwatch-collector data=/var/lib/wardwatch
else
    fail "no program lies beside this script, so nothing was changed. Unpack the whole package again."
fi
[ "$(id -u)" = 0 ] || fail "only root may install or remove a service, so nothing was changed. Call it as root."
# A program is not run before the package is known to be whole.
check_sums
check_runs

if [ "$remove" = yes ]; then
    if [ "$program" = wardwatch-agent ]; then ./wardwatch-agent uninstall "$@"; else remove_collector "$@"; fi
    exit
fi
if [ "$program" = wardwatch-agent ]; then install_agent "$@"; else install_collector "$@"; fi
