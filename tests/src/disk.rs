//! A small disk in a file, with a file system that a power cut can hit.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::program::eventually;

/// A mounted disk. To be used in a mount namespace of one's own.
pub struct Disk {
    image: PathBuf,
    /// As in `loop3`.
    device: String,
    mounted_at: PathBuf,
}

impl Disk {
    /// Makes an ext4 file system in `image` and mounts it.
    ///
    /// # Errors
    /// No root, or no loop device is free.
    pub fn make(image: &Path, bytes: u64, at: &Path) -> Result<Self> {
        File::create(image)?.set_len(bytes)?;
        call(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))?;
        Self::mount(image, at)
    }

    /// Mounts what is in `image`, after the kernel has brought its journal in order.
    ///
    /// # Errors
    /// As [`Self::make`], or it holds no file system any more.
    pub fn mount(image: &Path, at: &Path) -> Result<Self> {
        let device = call(Command::new("losetup").args(["--find", "--show"]).arg(image))?;
        let mounted = call(Command::new("mount").args(["-t", "ext4", &device]).arg(at));
        // From now on the device lasts as long as it is mounted.
        call(Command::new("losetup").args(["--detach", &device]))?;
        mounted?;
        let device = device.strip_prefix("/dev/").context("a device below /dev")?.to_owned();
        Ok(Self { image: image.to_owned(), device, mounted_at: at.to_owned() })
    }

    /// Copies the image as a power cut would leave it: what was not written yet is not in it.
    ///
    /// # Errors
    /// It cannot be copied, or the disk never rests for as long as that takes.
    pub async fn copy(&self, to: &Path) -> Result<()> {
        // Blocks copied one after another are the disk of one moment only if none was written meanwhile.
        eventually("the disk rests while it is copied", Duration::from_secs(20), async || {
            let before = self.writes()?;
            fs::copy(&self.image, to)?;
            Ok((before.1 == 0 && self.writes()? == before).then_some(()))
        })
        .await
    }

    /// Writes that were done and that are under way.
    fn writes(&self) -> Result<(u64, u64)> {
        let text = fs::read_to_string(format!("/sys/block/{}/stat", self.device))?;
        let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        // Documentation/block/stat.rst: write I/Os is the fifth, in flight the ninth.
        Ok((*numbers.get(4).context("writes")?, *numbers.get(8).context("in flight")?))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = call(Command::new("umount").arg(&self.mounted_at)) {
            println!("{error:#}; it goes with the mount namespace");
        }
    }
}

fn call(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
