//! A program that runs in parallel with the tests and never outlives them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running program. It is killed when this is dropped, and when the tests are killed.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    leash: Child,
}

impl Process {
    /// Starts a program and appends its output to a log.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let output: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        // If the tests are killed or call exit(), no destructor runs. The leash then reads the end of its
        // input, because the pipe is closed with the process of the tests.
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

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the program is running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The status of the program, if it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Panics with the end of the log if the program has ended.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} has ended ({status}):\n{}", self.name, tail(&self.log, 20));
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // This fails if the program has already ended.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.free_leash();
    }

    /// Sends SIGTERM, and SIGKILL if the program does not end in time. In that case there is no status.
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

    /// Ends the leash without killing, because the process id can be reused from now on.
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

/// A free port on 127.0.0.1.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
