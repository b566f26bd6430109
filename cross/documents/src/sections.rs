//! What a man page says that a command line does not know.

use std::io::{self, Write};

use clap_mangen::roff::{Roff, bold, roman};

/// A heading with terms and what each means.
pub(crate) struct Section {
    heading: &'static str,
    entries: &'static [(&'static str, &'static str)],
}

impl Section {
    pub(crate) fn render(&self, page: &mut dyn Write) -> io::Result<()> {
        let mut roff = Roff::default();
        roff.control("SH", [self.heading]);
        for (term, meaning) in self.entries {
            roff.control("TP", []);
            roff.text([bold(*term)]);
            roff.text([roman(*meaning)]);
        }
        roff.to_writer(page)
    }
}

const EXIT_STATUS: Section = Section {
    heading: "EXIT STATUS",
    entries: &[
        ("0", "Done."),
        ("1", "Done, and what was asked about is bad: a file changed, a check failed, the log is broken."),
        ("2", "The call is wrong."),
        ("3", "It could not be done; standard error says why and what to do."),
    ],
};

pub(crate) const AGENT: &[Section] = &[
    EXIT_STATUS,
    Section {
        heading: "FILES",
        entries: &[
            ("/etc/wardwatch/agent.toml", "Settings, if they are there. All have a default."),
            (
                "/var/lib/wardwatch-agent",
                "Identity, keys, unsent reports and programs that the centre sent. Whoever copies this folder can \
                 report in the name of this machine. An ordinary user's agent keeps it in \
                 ~/.local/state/wardwatch-agent.",
            ),
            ("wardwatch-enrol.txt", "The enrolment string, a secret. It is removed once it has served."),
        ],
    },
    Section {
        heading: "ENVIRONMENT",
        entries: &[
            ("WARDWATCH_CONFIG", "The file of settings, as --config."),
            ("WARDWATCH_STATE_DIR", "As --state-dir. The other settings of the file can be given likewise."),
            ("WARDWATCH_LOG", "How much is logged: off, error, warn, info, debug or trace."),
        ],
    },
    Section {
        heading: "SEE ALSO",
        entries: &[("wardwatch-collector(1)", "The program that agents report to.")],
    },
];

pub(crate) const COLLECTOR: &[Section] = &[
    EXIT_STATUS,
    Section {
        heading: "FILES",
        entries: &[
            ("/var/lib/wardwatch/collector.toml", "Settings of the service, as init writes them."),
            (
                "/var/lib/wardwatch",
                "Keys, database and evidence of the service. The keys vouch for every agent: back them up, and let \
                 nobody else read them.",
            ),
        ],
    },
    Section {
        heading: "ENVIRONMENT",
        entries: &[
            ("WARDWATCH_DATA_DIR", "As --data-dir. The other settings of the file can be given likewise."),
            (
                "WARDWATCH_DATABASE",
                "The address of the database. It may hold a password, so no list of processes shows it.",
            ),
        ],
    },
    Section { heading: "SEE ALSO", entries: &[("wardwatch-agent(1)", "The program on each machine.")] },
];
