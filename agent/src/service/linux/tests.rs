use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::super::Places;
use super::*;

fn seen(init: Init) -> Seen {
    Seen {
        root: "/".into(),
        init,
        runs: true,
        packaged: false,
        packaged_unit: None,
        has_drop_in: false,
        program: "/tmp/wardwatch-agent".into(),
        defaults: String::new(),
        has_script: true,
        run_levels: Vec::new(),
        has_update_rc_d: false,
        rc_script: "for i in /etc/init.d/S??* ;do".into(),
    }
}

fn acts(acts: &[LinuxAct]) -> String {
    acts.iter().map(|act| format!("{act}\n")).collect()
}

fn layout(asked: &Places, seen: &Seen) -> Layout {
    Layout::resolve(asked, seen).unwrap()
}

#[test]
fn systemd_gets_a_unit_and_is_told() {
    let seen = seen(Init::Systemd);
    let layout = layout(&Places::default(), &seen);
    insta::assert_snapshot!(acts(&install(&seen, &layout)), @r"
    make the folder /etc/wardwatch
    copy /tmp/wardwatch-agent to /usr/sbin/wardwatch-agent
    write /etc/systemd/system/wardwatch-agent.service
    link /etc/systemd/system/multi-user.target.wants/wardwatch-agent.service to /etc/systemd/system/wardwatch-agent.service
    run systemctl daemon-reload
    run systemctl restart wardwatch-agent.service
    ");
    insta::assert_snapshot!(acts(&uninstall(&seen, &layout, true)), @r"
    run systemctl stop wardwatch-agent.service
    remove /etc/systemd/system/multi-user.target.wants/wardwatch-agent.service
    remove /etc/systemd/system/wardwatch-agent.service.d/places.conf
    remove /etc/systemd/system/wardwatch-agent.service
    remove /etc/systemd/system/wardwatch-agent.service.d if it is empty
    run systemctl daemon-reload
    remove /usr/sbin/wardwatch-agent
    remove /etc/default/wardwatch-agent
    remove /var/lib/wardwatch-agent with identity and keys
    remove /etc/wardwatch if it is empty
    ");
}

#[test]
fn other_places_stand_in_the_defaults_and_are_found_again() {
    let mut seen = seen(Init::Systemd);
    let asked = Places {
        program: Some("/mnt/flash/agent".into()),
        state_dir: Some("/mnt/flash/state".into()),
        config: None,
    };
    seen.defaults = "WARDWATCH_LOG=debug\nPROGRAM=/old\n".into();
    let first = layout(&asked, &seen);
    seen.defaults = first.defaults(&seen.defaults);
    insta::assert_snapshot!(seen.defaults, @r"
    WARDWATCH_LOG=debug
    PROGRAM=/mnt/flash/agent
    WARDWATCH_STATE_DIR=/mnt/flash/state
    ");
    assert_eq!(layout(&Places::default(), &seen), first);
    insta::assert_snapshot!(acts(&install(&seen, &first)), @r"
    make the folder /etc/wardwatch
    copy /tmp/wardwatch-agent to /mnt/flash/agent
    write /etc/systemd/system/wardwatch-agent.service
    write /etc/systemd/system/wardwatch-agent.service.d/places.conf
    make the folder /mnt/flash/state
    link /etc/systemd/system/multi-user.target.wants/wardwatch-agent.service to /etc/systemd/system/wardwatch-agent.service
    run systemctl daemon-reload
    run systemctl restart wardwatch-agent.service
    ");
    let removed = uninstall(&seen, &first, false);
    let defaults = removed.iter().find_map(|act| match act {
        LinuxAct::Write { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(defaults, Some("WARDWATCH_LOG=debug\n"));
}

#[test]
fn the_folder_of_an_enrolment_string_elsewhere_can_be_written_so_that_the_string_goes() {
    let mut seen = seen(Init::Systemd);
    let drop_in = |seen: &Seen| {
        install(seen, &layout(&Places::default(), seen)).into_iter().find_map(|act| match act {
            LinuxAct::Write { path, text, .. } if path.ends_with("places.conf") => Some(text),
            _ => None,
        })
    };
    seen.defaults = "WARDWATCH_ENROLMENT_FILE=/etc/wardwatch/wardwatch-enrol.txt\n".into();
    assert_eq!(drop_in(&seen), None);
    seen.defaults = "WARDWATCH_ENROLMENT_FILE=/mnt/flash/enrol.txt\n".into();
    insta::assert_snapshot!(drop_in(&seen).unwrap(), @r"
    # Written by `wardwatch-agent install`.
    [Service]
    ExecStart=
    ExecStart=/usr/sbin/wardwatch-agent run
    ReadWritePaths=/var/lib/wardwatch-agent
    ReadWritePaths=-/mnt/flash
    ");
}

#[test]
fn a_path_that_a_shell_would_read_otherwise_is_refused() {
    for path in ["relative", "/a b", "/a;b", "/$HOME", "/a\"b", "/a%b"] {
        let asked = Places { program: Some(path.into()), ..Places::default() };
        assert!(Layout::resolve(&asked, &seen(Init::Sysv)).is_err(), "{path}");
    }
}

#[test]
fn run_levels_without_a_link_get_one_and_numbered_links_stay() {
    let mut seen = seen(Init::Sysv);
    seen.run_levels = vec![
        ("/etc/rc0.d".into(), None),
        ("/etc/rc3.d".into(), Some("/etc/rc3.d/S02wardwatch-agent".into())),
        ("/etc/rc5.d".into(), None),
    ];
    let layout = layout(&Places::default(), &seen);
    insta::assert_snapshot!(acts(&install(&seen, &layout)), @r"
    make the folder /etc/wardwatch
    copy /tmp/wardwatch-agent to /usr/sbin/wardwatch-agent
    write /etc/init.d/wardwatch-agent
    link /etc/rc0.d/K10wardwatch-agent to /etc/init.d/wardwatch-agent
    link /etc/rc5.d/S90wardwatch-agent to /etc/init.d/wardwatch-agent
    run /etc/init.d/wardwatch-agent restart
    ");
    insta::assert_snapshot!(acts(&uninstall(&seen, &layout, false)), @r"
    run /etc/init.d/wardwatch-agent stop
    remove /etc/rc3.d/S02wardwatch-agent
    remove /etc/init.d/wardwatch-agent
    remove /usr/sbin/wardwatch-agent
    remove /etc/default/wardwatch-agent
    remove /etc/wardwatch if it is empty
    ");
    seen.has_script = false;
    let again = acts(&uninstall(&seen, &layout, false));
    assert!(!again.contains("run "), "a service that is gone cannot be stopped: {again}");
}

#[test]
fn where_debian_keeps_the_order_of_start_its_tool_is_called_also_for_an_image() {
    let mut seen = Seen { has_update_rc_d: true, runs: false, ..seen(Init::Sysv) };
    let layout = layout(&Places::default(), &seen);
    let live = acts(&install(&seen, &layout));
    assert!(live.ends_with("run update-rc.d wardwatch-agent defaults\n"), "{live}");
    seen.root = "/mnt".into();
    let image = acts(&install(&seen, &layout));
    assert!(image.ends_with("run chroot /mnt /usr/sbin/update-rc.d wardwatch-agent defaults\n"), "{image}");
}

#[test]
fn an_image_is_registered_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for made in ["etc/init.d", "sbin", "bin"] {
        std::fs::create_dir_all(root.join(made)).unwrap();
    }
    symlink("/bin/busybox", root.join("sbin/init")).unwrap();
    std::fs::write(root.join("etc/init.d/rcS"), "for i in /etc/init.d/S??*; do $i start; done").unwrap();
    let request = Request { root: Some(root.into()), ..Request::default() };
    let plan = plan_install(&request).unwrap();
    assert!(!plan.acts.iter().any(|act| matches!(act, LinuxAct::Run { .. })));
    assert_eq!(plan.state_dir, root.join("var/lib/wardwatch-agent"));
    for act in &plan.acts {
        super::super::Act::perform(act).unwrap();
    }
    assert!(
        root.join("etc/init.d/S90wardwatch-agent").is_file()
            && root.join("usr/sbin/wardwatch-agent").is_file()
    );
    assert!(!plan.state_dir.exists());

    let mut out = Vec::new();
    super::super::perform(&plan.acts, "install", &mut out).unwrap();
    let again = String::from_utf8(out).unwrap();
    assert!(again.lines().all(|line| line.ends_with("was so already")), "{again}");

    let script = root.join("etc/init.d/S90wardwatch-agent");
    std::fs::set_permissions(&script, Permissions::from_mode(0o644)).unwrap();
    for act in &plan.acts {
        super::super::Act::perform(act).unwrap();
    }
    let mode = script.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755, "a script that cannot be run is repaired");

    std::fs::create_dir_all(root.join("etc/default")).unwrap();
    std::fs::write(root.join("etc/default/wardwatch-agent"), b"# ph\xa0ng\nWARDWATCH_LOG=debug\n").unwrap();
    let refused = plan_uninstall(&request, false).err().unwrap().to_string();
    assert!(refused.contains("etc/default/wardwatch-agent cannot be read"), "{refused}");
    std::fs::remove_file(root.join("etc/default/wardwatch-agent")).unwrap();

    std::fs::write(root.join("etc/init.d/rcS"), "mount -a").unwrap();
    let refused = plan_install(&request).err().unwrap().to_string();
    assert!(refused.ends_with("::respawn:/usr/sbin/wardwatch-agent run"), "{refused}");

    let places = Places {
        program: Some("/flash/agent".into()),
        state_dir: Some("/flash/state".into()),
        config: Some("/flash/agent.toml".into()),
    };
    let refused = plan_install(&Request { places, ..request }).err().unwrap().to_string();
    let line = "::respawn:/flash/agent run --state-dir /flash/state --config /flash/agent.toml";
    assert!(refused.ends_with(line), "{refused}");
}

#[test]
fn a_file_that_is_no_program_is_not_installed() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("wardwatch-agent.txt");
    let plan = || {
        let request = Request {
            root: Some(folder.path().into()),
            init: Some(Init::Systemd),
            from: Some(from.clone()),
            ..Request::default()
        };
        plan_install(&request).map(|plan| acts(&plan.acts)).map_err(|error| error.to_string())
    };
    let missing = plan().unwrap_err();
    assert!(missing.contains("cannot be read") && missing.contains("--from"), "{missing}");
    std::fs::write(&from, "a page that says 404").unwrap();
    assert!(plan().unwrap_err().contains("is no program of Linux"));
    std::fs::write(&from, "\x7fELF and so on").unwrap();
    assert!(plan().unwrap().contains("wardwatch-agent.txt to"));
}

/// A system with these files and folders, whose names end in a slash.
fn system(parts: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in parts {
        let path = folder.path().join(part);
        std::fs::create_dir_all(if part.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
        match part.split_once(" -> ") {
            Some((link, target)) => symlink(target, folder.path().join(link)).unwrap(),
            None if part.ends_with('/') => {}
            None => std::fs::write(&path, "").unwrap(),
        }
    }
    folder
}

#[test]
fn the_init_system_is_recognised_by_what_runs_and_in_an_image_by_what_would() {
    let runs_systemd = ["run/systemd/system/", "etc/rc3.d/", "sbin/init -> /lib/systemd/systemd"];
    for (parts, here, image) in [
        (&runs_systemd[..], Some(Init::Systemd), Some(Init::Systemd)),
        // Installed beside an init system that runs.
        (&["sbin/init -> ../lib/systemd/systemd", "etc/rc3.d/"], Some(Init::Sysv), Some(Init::Systemd)),
        (&["sbin/init -> /bin/busybox", "etc/rc3.d/"], Some(Init::Busybox), Some(Init::Busybox)),
        (&["sbin/init", "etc/rc.d/rc3.d/"], Some(Init::Sysv), Some(Init::Sysv)),
        (&["sbin/init", "etc/inittab"], Some(Init::Busybox), Some(Init::Busybox)),
        (&["sbin/init"], None, None),
    ] {
        let system = system(parts);
        assert_eq!(Init::detect(system.path(), false), here, "{parts:?}");
        assert_eq!(Init::detect(system.path(), true), image, "{parts:?} as an image");
    }
}

#[test]
fn a_package_of_debian_is_known_by_its_list() {
    for (list, packaged) in [
        ("var/lib/dpkg/info/wardwatch-agent.list", true),
        ("var/lib/dpkg/info/wardwatch-agent:armhf.list", true),
        ("var/lib/dpkg/info/wardwatch-agent-doc.list", false),
    ] {
        let system = system(&["etc/rc3.d/", list]);
        let request = Request { root: Some(system.path().into()), ..Request::default() };
        assert_eq!(Seen::read(&request).unwrap().packaged, packaged, "{list}");
    }
}

#[test]
fn what_belongs_to_a_package_is_left_to_it() {
    let seen = Seen { packaged: true, ..seen(Init::Sysv) };
    let layout = layout(&Places::default(), &seen);
    let done = acts(&install(&seen, &layout)) + &acts(&uninstall(&seen, &layout, false));
    assert!(
        !done.contains("copy") && !done.contains("write") && !done.contains("remove /usr/sbin"),
        "{done}"
    );
}

#[test]
fn purging_refuses_a_folder_that_holds_no_state() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter.odt"), "").unwrap();
    let path: PathBuf = folder.path().into();
    assert!(super::super::Act::perform(&LinuxAct::RemoveState { path: path.clone() }).is_err());
    std::fs::write(path.join("lock"), "").unwrap();
    super::super::Act::perform(&LinuxAct::RemoveState { path: path.clone() }).unwrap();
    assert!(!path.exists());
}
