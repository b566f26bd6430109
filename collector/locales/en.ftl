# The page's words. The keys are those of vi.ftl.

product = Wardwatch
product-line = Information security monitoring and incident response
language = Language
navigation = Main navigation
skip-to-content = Skip to content
times-are-local = Times are Vietnamese time (UTC+7).
overview = Overview
incidents = Incidents
incident = Incident
alerts = Alerts
endpoints = Endpoints
endpoint = Endpoint
log = Log
to-overview = To the overview
pages = Page
previous = Previous page
next = Next page
all = All
filter = Filter by state
until = until
since = since

sign-in = Sign in
sign-out = Sign out
user-name = User name
password = Password
sign-in-hint = No account, or password forgotten? Ask an administrator for a one-time password.
sign-in-refused = The user name or password is wrong, or the account is locked for now. Five wrong passwords in a row lock an account for 5 minutes; wait, then sign in again.
change-password = Change password
password-must-change = Your password was given to you by someone else and is for one use. Choose your own to go on.
password-current = Current password
password-new = New password
password-again = New password again
password-rule = At least 14 characters (TCVN 14423). A long sentence that is easy to remember is a good choice; spaces and accents are welcome.
password-current-wrong = The current password is wrong. Enter it again.
password-not-the-same = The two new passwords differ. Enter both again.
password-unchanged = The new password is the current one. Choose another.
password-too-short = The new password has fewer than 14 characters and is easy to guess. Choose a longer one.
password-too-long = The new password is longer than 1024 bytes. Choose a shorter one.
password-too-simple = The new password is too simple: it has too few different characters, or contains the user name. Choose another.

fault-title = This cannot be done
fault-signed-out = You are not signed in, or your session has ended.
fault-signed-out-remedy = Sign in again.
fault-must-change = The one-time password has not been replaced yet.
fault-must-change-remedy = Change the password first.
fault-forbidden = Your account may not do this.
fault-forbidden-remedy = Ask an administrator to do it.
fault-not-found = There is no such page. The address may be mistyped, or the item does not exist.
fault-not-found-remedy = Check the address, or start from the overview.
fault-foreign-form = The form was not sent from your current session, so nothing was changed.
fault-foreign-form-remedy = Open the page again and send the form again.
fault-bad-request = The request lacks something or has the wrong form, so nothing was changed.
fault-bad-request-remedy = Go back, check what you entered, and send it again.
fault-too-large = What was sent is too large, so nothing was kept.
fault-too-large-remedy = An evidence file has at most 20 MiB. Compress or split it.
fault-too-slow = What was sent came too slowly, so nothing was kept.
fault-too-slow-remedy = Try again over a better connection, with a smaller file if there was one.
fault-broken = The system failed while handling this request.
fault-broken-remedy = Try again. If it fails again, ask an administrator to look at the collector's log.

ago-now = just now
ago-future = in the future (wrong clock)
ago-minutes = { $n } min ago
ago-hours = { $n } h ago
ago-days = { $n } days ago

severity-low = Low
severity-medium = Medium
severity-high = High
severity-critical = Critical

overview-title = What needs attention
welcome = No endpoints yet
welcome-text = To begin, make an enrolment string on the collector's machine and install the agent with it on an endpoint:
open-alerts = open alerts
silent-endpoints = silent endpoints
failed-checks = failed checks
endpoints-heard = endpoints in contact
new-alerts = Open alerts
no-open-alerts = There are no open alerts.
all-alerts = Show all { $n } alerts
endpoints-in-need = Endpoints that need attention
no-endpoints-in-need = No endpoint is silent or waits for approval.
failed-checks-on = { $n ->
    [one] { $n } endpoint has failed checks.
   *[other] { $n } endpoints have failed checks.
}
never-heard = never heard

alert-open = Open
alert-silenced = Silenced
alert-closed = Closed
count-alerts = { $n ->
    [one] { $n } alert
   *[other] { $n } alerts
}
count-times = { $n ->
    [one] once
   *[other] { $n } times
}
no-alerts-here = There are no alerts in this state.
why = Why this alert
expected = Expected
found = Found
was-read = Was read
remedy = Remedy
do-first = Do first
facts = Facts
unit = Unit
rule = Rule
first-seen = First seen
last-seen = Last seen
count = Count
closed-reason = Closed because
what-now = Act
rule-unknown = This detection rule is not part of the running version.
first-other = Look at the facts below, verify with the unit that runs the endpoint, then decide: raise an incident, or close the alert with a reason.

finding-file-added = New file: { $path }
finding-file-gone = File gone: { $path }
finding-file-changed = File changed: { $path }
finding-file-unreadable = File cannot be read: { $path }
finding-check-fails = Check fails: { $check }
finding-check-unknown = Check cannot be made: { $check }
finding-check-passes = Check passes: { $check }
finding-blind = Could not be watched for a while: { $root }
finding-fork = Two different reports came as number { $seq }; the second was refused
finding-cloned = Two machines use one identity
finding-silent = The endpoint is silent
finding-heard = The endpoint is heard again
finding-upgrade-healthy = The agent was upgraded to { $version } and is well
finding-upgrade-returned = The agent's version { $version } did not show itself healthy; the one before runs again
finding-upgrade-refused = The agent refused to become version { $version }
finding-upgrade-not-allowed = The endpoint's own settings allow no upgrade to { $version }
finding-upgrade-withdrawn = The upgrade to { $version } was withdrawn before it was tried
stream-first-start = The agent began to report for the first time
stream-state-lost = The agent lost its stored state and began again
stream-state-rolled-back = The agent's state was set back to an old copy
sighting-absent = No such file
sighting-unreadable = Cannot be read
sighting-present = File present

kind = Kind
kind-office-pc = Office PC
kind-camera-recorder = Camera recorder
kind-server = Server
link = Contact
last-contact = Last contact
outbox = Waiting reports
clock = Clock
checks = Checks
standing-pending = Waits for approval
standing-removed = Removed
standing-heard = In contact
standing-silent = Silent
standing-off = Switched off
standing-never = Not heard yet
clock-proved = proved
clock-unproved = not proved
clock-wrong = Wrong time
clock-skew = { $n ->
    [one] { $n } second off
   *[other] { $n } seconds off
}
count-endpoints = { $n ->
    [one] { $n } endpoint
   *[other] { $n } endpoints
}
count-failed = { $n } failed
count-unknown = { $n } unknown
count-passed = { $n } passed or not applicable
count-reports = { $n ->
    [one] { $n } report
   *[other] { $n } reports
}
count-files = { $n ->
    [one] { $n } file
   *[other] { $n } files
}
no-endpoints = There are no endpoints yet. Make an enrolment string on the collector's machine:
pending-text = This endpoint enrolled with a many-use token and waits for approval. Its reports count only after that.
contact = Contact
enrolled = Enrolled
agent-id = Agent id
host = Machine
system = System
hardware = Hardware
addresses = Addresses
disks = Disks
free = free
agent = Agent
limits = What the agent cannot do here
no-host = The endpoint has not told about its machine yet.
open-alerts-title = Open alerts
only-failed = Show only what failed
show-passed = Show passed checks too
no-failed-checks = Nothing failed or is unknown.
no-checks = There are no results yet.
verdict-pass = Pass
verdict-fail = Fail
verdict-not-applicable = Not applicable
verdict-unknown = Unknown
unknown-because = Unknown because
coverage = Coverage
no-coverage = No scan has been completed yet.
root = Folder
watch = Watched
watch-live = Live
watch-scan-only = By scans only
watch-skipped = Not watched
hashed-files = Hashed files
unreadable = Unreadable
files = Executable files
search-files = Find by path or hash
search = Search
inventory-incomplete = the first inventory is not complete
path = Path
size = Size
changed = Changed

source = Source
open-incidents = open incidents
open-incidents-title = Open incidents
no-open-incidents = There are no open incidents.
next-step = Next step
lead = Lead
raise-incident = Raise an incident
raise-incident-hint = Makes an incident of this alert and begins with step I.1 of the response procedure.
close-reason = Why it can be closed (required)
close-alert = Close the alert
silence-for = Silence for
silence-reason = Why it is silenced (required)
silence-alert = Silence the alert
one-day = 1 day
one-week = 7 days
thirty-days = 30 days
approve = Approve the endpoint
commands = Ask the endpoint
command-rescan = Look at all files again
command-recheck = Evaluate the policies again
command-upgrade = Upgrade the agent
commands-hint = The endpoint hears of it at its next contact; after 24 hours the command expires. It runs only if the endpoint's own configuration allows it.
count-commands = { $n ->
    [one] { $n } command has not arrived yet
   *[other] { $n } commands have not arrived yet
}
remove-endpoint = Remove this endpoint…
stream-collector-restored = The agent began again because the collector was restored from an older backup

fault-nothing-to-do = There is nothing to do: the item does not exist, or was dealt with already.
fault-nothing-to-do-remedy = Open the page again to see how it stands now.
no-such-unit = The unit directory has no such unit.
token-uses = A token is for 1 to 10,000 endpoints.
cancel = Cancel
remove-title = Remove an endpoint
remove-warning = The endpoint is cut off at once and never admitted again under this identity. What it reported is kept. This cannot be undone.
remove-reason = Why it is removed (required)
remove-confirm = Remove the endpoint

refused-incident-closed = Incident { $incident } is closed.
    .remedy = Raise a new incident if the matter goes on.
refused-unknown-step = The procedure has no step { $step }.
    .remedy = Open the incident again and choose one of its steps.
refused-waits = Step { $step } waits until step { $other } is passed.
    .remedy = Record step { $other } as passed first.
refused-not-serious = Step { $step } is for serious incidents, and this one is not assessed as serious.
    .remedy = Assess the incident first, or mark step { $step } not applicable.
refused-settled = Step { $step } is already done or not applicable.
    .remedy = If that was wrong, reopen the step and record it again.
refused-pending = Step { $step } is still open, so there is nothing to take back.
    .remedy = Complete it, or mark it not applicable with a reason.
refused-earlier-round = Step { $step } was settled in an earlier round, which can only be read.
    .remedy = To repeat it, record the examination after recovery as failed and choose the steps to repeat.
refused-rests-on = Step { $other } was settled because step { $step } was passed.
    .remedy = Reopen step { $other } first.
refused-indispensable = Step { $step } decides whether the incident may end, so it cannot be left out.
    .remedy = Carry out step { $step } and record it.
refused-evidence-missing = Step { $step } has no evidence.
    .remedy = Add a file, choose an alert, or write what was done.
refused-too-much-evidence = Step { $step } has too many files or alerts.
    .remedy = Pack the files into one archive.
refused-finding-elsewhere = Alert { $alert } does not belong to this incident.
    .remedy = Attach the alert to the incident first.
refused-outcome-missing = Step { $step } is an examination and has no result.
    .remedy = Choose pass or fail.
refused-no-examination = Step { $step } is no examination and has no result.
    .remedy = Leave the result out.
refused-nothing-to-repeat = Steps are repeated only after a failed examination, and step { $step } is not that.
    .remedy = Leave the steps to repeat out.
refused-cannot-repeat = Step { $step } cannot be repeated in a new round.
    .remedy = Choose from { $allowed }.
refused-reason-missing = There is no reason.
    .remedy = Write why.
refused-title-missing = There is no title.
    .remedy = Write in a few words what happened.
refused-too-long = A text has more than 10,000 characters.
    .remedy = Shorten it, and attach the whole as a file.
refused-alert-closed = Alert { $alert } is closed.
    .remedy = It comes back by itself when the finding does.
refused-alert-elsewhere = Alert { $alert } already belongs to incident { $incident }.
    .remedy = Go on in incident { $incident }.
refused-silence-over = The silence would already be over.
    .remedy = Choose a time to come.

alert = Alert
attach-to = Or add it to an open incident
attach = Add to the incident
severity = Severity
incident-open = Open
incident-closed = Closed
count-incidents = { $n ->
    [one] { $n } incident
   *[other] { $n } incidents
}
round = Round
rounds = Rounds
current = current
serious = Serious
not-serious = Not serious
not-assessed = Seriousness not assessed
raise-by-hand = Raise an incident without an alert
raise-by-hand-hint = For reports that come by telephone, by letter or from another unit.
incident-title = What happened
incident-reason = What was reported, and by whom
standing = Standing
steps-settled = steps settled
closed-at = Closed
raised = Raised
reason = Reason
procedure = Procedure
seriousness = Seriousness
assess-title = Assess the seriousness
assess-hint = An incident is serious if the first criterion holds, at least one of the next five does, and the owner cannot cope alone (Decision 05/2017/QĐ-TTg; have it confirmed by your legal office that the rule is still in force). When unsure, choose the higher. Step I.4 applies to serious incidents only.
assess-criteria = Criteria that are met
assess-reason = Grounds (required if no criterion is chosen)
assess-question = Conclusion
assess-button = Record the assessment
serious-level = The system is of level 4 or 5, or on the list of nationally important systems
serious-interrupted = The service is interrupted
serious-secret = State secrets may be disclosed
serious-integrity = Important data has lost its integrity and cannot be restored
serious-control = Control of the system is lost
serious-spread = The incident may spread or affect other systems in a chain
serious-capacity = The owner of the system cannot control and handle it alone
earlier-round = an earlier round, to be read only.
round-opened-because = This round was opened because:
support = Support
condition = Condition
must-leave = Must leave
step-content = What is to be done
step-done = Done
step-failed = Failed
step-not-applicable = Not applicable
step-waits = Waits
step-next = To be done now
step-pending = Not done yet
settled-in-round = settled in round
advice = Advice
evidence = Evidence
evidence-alerts = Alerts as evidence
evidence-files = Evidence files
evidence-hint = Up to 5 files of 20 MiB each; each is kept with its BLAKE3 hash. A note without files is enough.
done-ahead-of = Done while these steps were still open:
earlier-records = Earlier records
complete-step = Complete this step
record-again = Record it once more
complete-button = Complete step
note = What was done
outcome = Result of the examination
outcome-pass = Passed
outcome-fail = Failed
outcome-pass-long = Passed: the system is stable
outcome-fail-long = Failed: open a new round
repeat-steps = If it failed, repeat these steps
closes-incident = Completing this step closes the incident and its alerts.
skip-step = This step does not apply…
skip-reason = Why it does not apply (required)
skip-button = Record as not applicable
reopen-step = Reopen this step…
reopen-reason = Why it is reopened (required)
reopen-button = Reopen the step
alerts-of-incident = Alerts of this incident
no-alerts-of-incident = The incident was raised without an alert.
history = History

log-title = Change log
log-text = Every entry carries the hash of the one before, so a changed or removed entry is found.
log-verify = Verify the log
log-whole = The log is whole.
log-broken = The log was changed or cut short. Leave the server as it is and tell the management at once.
log-head = Hash of entry
count-entries = { $n ->
    [one] { $n } entry
   *[other] { $n } entries
}
actor-collector = The system
actor-rule = Rule: { $rule }
actor-local-admin = Administrator on the server
log-alert-raised = Alert { $alert } raised
log-alert-repeated = Alert { $alert } repeated
log-alert-eased = One endpoint of alert { $alert } is well again
log-alert-closed = Alert { $alert } closed
log-alert-silenced = Alert { $alert } silenced
log-alert-attached = Alert { $alert } added to the incident
log-incident-raised = Incident raised
log-assessed-serious = Assessed as serious
log-assessed-not-serious = Assessed as not serious
log-step-done = Step { $step } done
log-step-passed = Step { $step } passed
log-step-failed = Step { $step } failed
log-step-not-applicable = Step { $step } not applicable
log-step-reopened = Step { $step } reopened
log-round-opened = Round { $round } opened, to repeat steps
log-incident-closed = Incident closed
log-endpoint-enrolled = Endpoint { $endpoint } enrolled
log-endpoint-approved = Endpoint { $endpoint } approved
log-endpoint-removed = Endpoint { $endpoint } removed
log-token-created = Token { $token } created
log-token-revoked = Token { $token } revoked
log-user-created = User { $user } created
log-password-changed = Password of user { $user } changed
log-command-issued = Command “{ $action }” for the endpoint

alert-in-incident = Handled in an incident
still-open = steps { $steps } are still open, and this step closes the incident
fault-go-back = Use your browser's back button: what you entered is still there.

releases = Releases
releases-title = Releases of the agent
releases-text = A new version goes to a share of the endpoints first, and to the others when you widen it. An endpoint on which it does not work returns to the version before by itself.
keys-online-title = Keys not in safety
keys-online = { $files } should not be on this machine: whoever breaks in here could use them to run any program on every endpoint. Move them to a medium that is kept in a safe.
rollouts = Roll-outs
no-rollouts = No roll-out yet. It is begun on the command line of the collector:
held-releases = Releases held here
no-releases = No release yet. A signed program is added on the command line of the collector:
version = Version
target = Target
added = Added
begun = begun
stopped-because = Stopped because
canaries = Canaries
every-unit = every unit
every-kind = every kind
rollout-canary = Canaries only
rollout-wide = Whole group
rollout-stopped = Stopped
upgrade = Upgrade
upgrade-waiting = Waiting
upgrade-healthy = Healthy
upgrade-returned = Returned
upgrade-failed-on = Did not take the version or returned from it, newest first
upgrade-refused = Refused
upgrade-not-allowed = Not allowed there
upgrade-withdrawn = Withdrawn
asked = asked
widen = Widen to the whole group
widen-ask = Widen to the whole group…
widen-title = Widen a roll-out
widen-text = All other endpoints of the group will be asked to upgrade. The roll-out can still be stopped then, but what was upgraded stays so.
widen-too-early = Not all canaries are healthy with this version yet.
healthy-canaries = Healthy canaries
widen-hint = Widen only when the canaries are healthy.
stop-reason = Why it is stopped (required)
stopped-canary-failed = Canaries did not take the new version or did not run with it
stopped-too-many-failed = Too many endpoints did not take the new version or did not run with it
stopped-superseded = Roll-out { $rollout } took its place
stop-rollout = Stop the roll-out
count-without-release = { $n ->
    [one] { $n } endpoint of the group has no release for its system.
   *[other] { $n } endpoints of the group have no release for their system.
}
count-unknown-target = { $n ->
    [one] { $n } endpoint of the group has not said yet what it runs on.
   *[other] { $n } endpoints of the group have not said yet what they run on.
}
log-release-added = Release { $version } of the agent added
log-release-signed-anew = Release { $version } of the agent signed anew
log-rollout-begun = Roll-out of version { $version } begun
log-rollout-widened = Roll-out { $rollout } widened to the whole group
log-rollout-stopped = Roll-out { $rollout } stopped
