//! What a scan costs beside the programs that do the least of the same work: `b3sum` reads and hashes, `find` looks at
//! every file, `aide` compares all that it reads with what it kept.
//!
//! The trees are made here, but for `/usr`: many small files, a wide and deep one with few files a folder, one huge
//! file. Everything is in the page cache. Each round runs all programs in turn; medians are printed with what they are
//! beside the yardstick, and the aim. The last table shows what a re-scan costs as a tree grows.
//!
//! `cargo build --release --workspace && cargo bench -p wardwatch-tests --bench scan`, with `b3sum`, `aide` and GNU
//! `time` installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use wardwatch_tests::program;
use wardwatch_tests::site::AGENT;

const ROUNDS: usize = 5;
const SMALL_FILES: usize = 64_000;
/// GNU time counts in hundredths of a second.
const COMPARABLE_S: f64 = 0.1;
const HUGE_BYTES: usize = 1 << 30;
/// Of the trees whose re-scans are compared by size.
const SIZES: [usize; 4] = [4_000, 16_000, 64_000, 256_000];

/// What one run took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    peak_mib: f64,
}

/// A shell command to be measured, and what it ends with where it went well.
struct Candidate {
    name: &'static str,
    command: String,
    codes: &'static [i32],
}

fn candidate(name: &'static str, command: String, codes: &'static [i32]) -> Candidate {
    Candidate { name, command, codes }
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["-o", "pipefail", "-c", command]).stdin(Stdio::null()).stdout(Stdio::null());
    shell
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Runs a command under GNU time, which counts children that have ended too.
fn measure(one: &Candidate, scratch: &Path) -> Result<Cost> {
    let report = scratch.join("time");
    let mut timed = Command::new("time");
    timed
        .args(["--format", "%e %U %S %M", "--output"])
        .arg(&report)
        .args(["bash", "-o", "pipefail", "-c", &one.command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = timed.output().context("GNU time is not installed")?;
    let code = output.status.code();
    ensure!(
        code.is_some_and(|code| one.codes.contains(&code)),
        "{}: `{}` ended with {code:?}\n{}",
        one.name,
        one.command,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = fs::read_to_string(&report)?;
    // A line about the exit code comes before where it is not 0.
    let line = text.lines().last().context("no times")?;
    let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let [wall_s, user, system, kib] = numbers[..] else { anyhow::bail!("{line}") };
    Ok(Cost { wall_s, cpu_s: user + system, peak_mib: kib / 1024.0 })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs all in turn, several times over; the medians of each.
fn in_turn(candidates: &[Candidate], rounds: usize, scratch: &Path) -> Result<Vec<Cost>> {
    let mut costs = vec![Vec::new(); candidates.len()];
    for _ in 0..rounds {
        for (one, costs) in candidates.iter().zip(&mut costs) {
            costs.push(measure(one, scratch)?);
        }
    }
    let of = |costs: &[Cost], field: fn(&Cost) -> f64| median(costs.iter().map(field).collect());
    Ok(costs
        .iter()
        .map(|costs| Cost {
            wall_s: of(costs, |cost| cost.wall_s),
            cpu_s: of(costs, |cost| cost.cpu_s),
            peak_mib: of(costs, |cost| cost.peak_mib),
        })
        .collect())
}

fn show(name: &str, cost: Cost) {
    println!("  {name:26} {:8.2} s wall {:8.2} s CPU {:8.1} MiB", cost.wall_s, cost.cpu_s, cost.peak_mib);
}

fn aim(what: &str, found: f64, most: f64) {
    let verdict = if found <= most { "kept" } else { "MISSED" };
    println!("    {what}: {found:.3}, aim: at most {most}: {verdict}");
}

/// The same of a time in seconds beside that of a yardstick.
fn aim_beside(what: &str, found_s: f64, yardstick_s: f64, most: f64) {
    if yardstick_s < COMPARABLE_S {
        println!("    {what}: unknown, the yardstick took {yardstick_s:.2} s, too short to compare");
    } else {
        aim(what, found_s / yardstick_s, most);
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| path.display().to_string())
}

/// So many files of 200 bytes to 16 KiB, 100 a folder, in the form of ELF programs.
fn small_files(root: &Path, count: usize, random: &mut Rng) -> Result<()> {
    for number in 0..count {
        let folder = root.join(format!("{:05}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&folder)?;
        }
        let mut content = b"\x7fELF\x02\x01\x01\0".to_vec();
        content.extend((0..random.usize(200..16_384)).map(|_| random.u8(..)));
        write(&folder.join(format!("program-{number}")), &content)?;
    }
    Ok(())
}

/// 200 chains of 50 folders, one file in each.
fn deep_and_wide(root: &Path, random: &mut Rng) -> Result<()> {
    for chain in 0..200 {
        let mut folder = root.join(format!("chain-{chain}"));
        for depth in 0..50 {
            folder.push(format!("{depth}"));
            fs::create_dir_all(&folder)?;
            let content: Vec<u8> = (0..512).map(|_| random.u8(..)).collect();
            write(&folder.join("file"), &content)?;
        }
    }
    Ok(())
}

fn huge_file(root: &Path, random: &mut Rng) -> Result<()> {
    fs::create_dir_all(root)?;
    let block: Vec<u8> = (0..1 << 20).map(|_| random.u8(..)).collect();
    let file = fs::File::create(root.join("huge"))?;
    for _ in 0..HUGE_BYTES / block.len() {
        std::io::Write::write_all(&mut &file, &block)?;
    }
    Ok(())
}

struct Bench {
    agent: String,
    scratch: tempfile::TempDir,
    threads: usize,
}

impl Bench {
    fn scan(&self, root: &Path, options: &str) -> String {
        format!("{} scan {} --all-files --full-speed --output json {options}", self.agent, quoted(root))
    }

    fn baseline(&self, root: &Path) -> Result<PathBuf> {
        let baseline = self.scratch.path().join("baseline");
        let saved = shell(&self.scan(root, &format!("--save {}", quoted(&baseline)))).status()?;
        ensure!(saved.success(), "the baseline of {} was not saved: {saved}", root.display());
        Ok(baseline)
    }

    fn first_scan(&self, root: &Path) -> Result<()> {
        let b3sum = |threads: usize| {
            format!("find {} -xdev -type f -print0 | xargs -0 b3sum --num-threads {threads}", quoted(root))
        };
        let threads = self.threads;
        let candidates = [
            candidate("b3sum, 1 thread", b3sum(1), &[0]),
            candidate("first scan, 1 thread", self.scan(root, "--threads 1"), &[0]),
            candidate("b3sum, all threads", b3sum(threads), &[0]),
            candidate("first scan, all threads", self.scan(root, &format!("--threads {threads}")), &[0]),
        ];
        let costs = in_turn(&candidates, ROUNDS, self.scratch.path())?;
        for (one, cost) in candidates.iter().zip(&costs) {
            show(one.name, *cost);
        }
        aim_beside("CPU time beside b3sum", costs[1].cpu_s, costs[0].cpu_s, 1.5);
        aim_beside("wall time beside b3sum, all threads", costs[3].wall_s, costs[2].wall_s, 1.2);
        aim("peak memory in MiB", costs[3].peak_mib, 24.0);
        Ok(())
    }

    fn candidates_of_rescan(&self, root: &Path, baseline: &Path) -> [Candidate; 2] {
        // One of the trees may be in use: `/usr` changes, and then something has changed.
        let rescan = self.scan(root, &format!("--threads 1 --baseline {}", quoted(baseline)));
        let find = format!("find {} -xdev -printf '%p %s %T@ %C@ %i\\n'", quoted(root));
        [candidate("find -printf", find, &[0]), candidate("re-scan", rescan, &[0, 1])]
    }

    fn rescan(&self, root: &Path) -> Result<()> {
        let baseline = self.baseline(root)?;
        let candidates = self.candidates_of_rescan(root, &baseline);
        let costs = in_turn(&candidates, ROUNDS, self.scratch.path())?;
        for (one, cost) in candidates.iter().zip(&costs) {
            show(one.name, *cost);
        }
        let aide = self.aide(root)?;
        show(aide.0, aide.1);
        aim_beside("CPU time beside find", costs[1].cpu_s, costs[0].cpu_s, 2.5);
        aim_beside("CPU time beside aide", costs[1].cpu_s, aide.1.cpu_s, 1.0 / 40.0);
        Ok(())
    }

    /// `aide --check` of an unchanged tree; once, since it reads everything each time.
    fn aide(&self, root: &Path) -> Result<(&'static str, Cost)> {
        let folder = self.scratch.path();
        let settings = folder.join("aide.conf");
        let database = folder.join("aide.db");
        write(
            &settings,
            format!(
                "database_in=file:{0}\ndatabase_out=file:{0}\nreport_url=stdout\nnum_workers={1}\n{2} p+i+u+g+s+m+c+sha256\n",
                database.display(),
                self.threads,
                root.display()
            )
            .as_bytes(),
        )?;
        let made = shell(&format!("aide --config {} --init", quoted(&settings))).status()?;
        ensure!(made.success(), "aide --init ended with {made}");
        // 1 to 7: something has changed.
        let check = format!("aide --config {} --check", quoted(&settings));
        let check = candidate("aide --check, sha256", check, &[0, 1, 2, 3, 4, 5, 6, 7]);
        Ok((check.name, measure(&check, folder)?))
    }

    fn growth(&self, random: &mut Rng) -> Result<()> {
        println!("re-scan by the size of the tree");
        let root = self.scratch.path().join("grows");
        let mut most = 0.0_f64;
        let mut rows: Vec<(usize, f64, Cost)> = Vec::new();
        for size in SIZES {
            // Of few bytes each, since a re-scan reads none.
            let from = rows.last().map_or(0, |row| row.0);
            for number in from..size {
                let folder = root.join(format!("{:05}", number / 100));
                fs::create_dir_all(&folder)?;
                write(&folder.join(format!("{number}")), &random.u64(..).to_le_bytes())?;
            }
            let baseline = self.baseline(&root)?;
            let costs = in_turn(&self.candidates_of_rescan(&root, &baseline), 3, self.scratch.path())?;
            most = most.max(costs[1].cpu_s);
            rows.push((size, costs[0].cpu_s, costs[1]));
        }
        for (size, find, cost) in rows {
            let bar = "#".repeat((cost.cpu_s / most * 40.0).ceil() as usize);
            println!(
                "  {size:7} files {:7.2} s CPU, find {find:.2} s, {:6.1} MiB {bar}",
                cost.cpu_s, cost.peak_mib
            );
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let threads = std::thread::available_parallelism()?.get();
    let agent = quoted(&program::path(AGENT));
    let bench = Bench { agent, scratch: tempfile::tempdir()?, threads };
    let mut random = Rng::with_seed(1);
    let made = bench.scratch.path().join("trees");
    let (small, deep, huge) = (made.join("small"), made.join("deep"), made.join("huge"));
    small_files(&small, SMALL_FILES, &mut random)?;
    deep_and_wide(&deep, &mut random)?;
    huge_file(&huge, &mut random)?;
    println!("{ROUNDS} rounds in turn, {threads} threads, everything in the page cache");
    for (name, root) in [
        ("64,000 small files", small.as_path()),
        ("10,000 folders, deep and wide", &deep),
        ("one file of 1 GiB", &huge),
        ("/usr of this machine", Path::new("/usr")),
    ] {
        println!("{name}");
        bench.first_scan(root)?;
        bench.rescan(root)?;
    }
    bench.growth(&mut random)
}
