//! Runs a program as if the kernel were Linux 3.10: every system call that came later answers ENOSYS.
//!
//! `old-kernel PROGRAM ARGUMENT...`. It becomes that program, so that signals reach it. What an older kernel
//! did otherwise within a call, such as a flag it did not know, is not imitated.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use seccompiler::{BpfProgram, apply_filter, sock_filter};

/// Architecture as linux/audit.h names it, and the number of `sched_setattr`, the first call after Linux 3.10
/// (`finit_module` of 3.8 comes before it). Numbers are given out in order.
const FIRST_NEWER: [(u32, u32); 3] = [
    (0xc000_003e, 314), // x86_64
    (0x4000_0003, 351), // i386
    (0xc000_00b7, 274), // aarch64
];

/// Of linux/bpf_common.h: load a word, jump if equal, jump if not less, return.
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_NOT_LESS: u16 = 0x35;
const RETURN: u16 = 0x06;
/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// Of linux/seccomp.h.
const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const ERRNO_ENOSYS: u32 = 0x0005_0000 | 38;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        bail!("no program is named, so nothing was run; call old-kernel PROGRAM ARGUMENT...");
    };
    apply_filter(&filter()).context("the kernel takes no filter; it needs CONFIG_SECCOMP_FILTER")?;
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("{} cannot be run", program.display()))
}

/// For each architecture: if it is this one, answer by the number; then no call of an unknown one.
fn filter() -> BpfProgram {
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let mut filter = vec![step(LOAD, 0, 0, ARCHITECTURE)];
    for (architecture, first_newer) in FIRST_NEWER {
        filter.extend([
            step(JUMP_EQUAL, 0, 4, architecture),
            step(LOAD, 0, 0, NUMBER),
            step(JUMP_NOT_LESS, 0, 1, first_newer),
            step(RETURN, 0, 0, ERRNO_ENOSYS),
            step(RETURN, 0, 0, ALLOW),
        ]);
    }
    filter.push(step(RETURN, 0, 0, KILL));
    filter
}

#[cfg(test)]
mod tests {
    use rustix::fs::{AtFlags, CWD, StatxFlags};
    use rustix::io::Errno;
    use rustix::rand::GetRandomFlags;

    use super::*;

    #[test]
    fn calls_newer_than_the_kernel_are_unknown_and_older_ones_are_not() {
        // A filter holds for the thread that asked for it.
        std::thread::spawn(|| {
            apply_filter(&filter()).unwrap();
            let statx = rustix::fs::statx(CWD, "/", AtFlags::empty(), StatxFlags::BASIC_STATS);
            assert_eq!(statx.err(), Some(Errno::NOSYS));
            let random = rustix::rand::getrandom(&mut [0; 8], GetRandomFlags::empty());
            assert_eq!(random.err(), Some(Errno::NOSYS));
            assert!(rustix::fs::stat("/").is_ok());
            assert!(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).is_ok());
        })
        .join()
        .unwrap();
    }
}
