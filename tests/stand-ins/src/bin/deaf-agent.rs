//! An agent of version 0.4.0 that says its version and then hangs, deaf to everything but SIGKILL.

use std::time::Duration;

fn main() {
    if std::env::args().any(|argument| argument == "--version") {
        println!("wardwatch-agent 0.4.0");
        return;
    }
    eprintln!("the deaf agent hangs");
    std::thread::sleep(Duration::from_secs(24 * 60 * 60));
}
