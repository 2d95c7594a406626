//! A program that runs beside the tests and never outlives them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running program. It is killed when this is dropped, and also when the tests themselves are killed.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    leash: Child,
}

impl Process {
    /// Starts a program whose output is added to a log.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let output: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        // Nothing of ours runs when the tests are killed or end by exit(). The leash then reads the end of
        // its input, since the pipe closes with the process that holds it.
        let leash = Command::new("sh")
            .args([
                "-c",
                r#"trap "" INT TERM; read -r ended || kill -9 "$1""#,
                "leash",
                &child.id().to_string(),
            ])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Process { name: name.to_owned(), log: log.to_owned(), child, leash }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Panics with the end of its log if it has ended.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} has ended ({status}):\n{}", self.name, tail(&self.log, 20));
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.free_leash();
    }

    /// SIGTERM, and -9 where that has not ended it in time: then there is no status.
    pub fn terminate(&mut self, within: Duration) -> Option<ExitStatus> {
        let ended = self.child.try_wait().unwrap();
        if ended.is_none() {
            let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).unwrap();
            kill_process(pid, Signal::TERM).unwrap();
        }
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.free_leash();
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        None
    }

    /// Lets the leash end without killing: the process id may be another's from now on.
    fn free_leash(&mut self) {
        if let Some(mut input) = self.leash.stdin.take() {
            let _ = input.write_all(b"ended\n");
        }
        let _ = self.leash.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A port of 127.0.0.1 that nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
