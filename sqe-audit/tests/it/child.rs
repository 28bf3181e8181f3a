//! Processes that die or run out of space. The child is this test binary, started again for one of its tests.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use sqe_audit::{Trail, TrailOptions, verify};
use sqe_core::audit::{AuditSink, EventKind, Outcome};

use crate::events::{effect, events, intent};

/// The folder that the parent names on standard input, and what it says after that.
fn orders() -> (String, impl Iterator<Item = String>) {
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    let dir = lines.next().expect("started by its parent test");
    (dir, lines)
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A line of its own, whatever the test harness prints.
    writeln!(out, "\nchild: {text}").unwrap();
    out.flush().unwrap();
}

fn start(mut command: Command, test: &str, dir: &Path) -> (Child, impl Iterator<Item = String>) {
    let mut child = command
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.as_mut().unwrap(), "{}", dir.display()).unwrap();
    let out: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
    let said = out.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("child: ").map(str::to_owned));
    (child, said)
}

#[test]
#[ignore = "run by every_acknowledged_event_survives_kill_9_and_open_intents_become_interrupted"]
fn record_until_killed() {
    let (dir, _) = orders();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let trail = std::sync::Arc::new(TrailOptions::new().with_segment_bytes(20_000).open(dir).unwrap());
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..8 {
            let trail = std::sync::Arc::clone(&trail);
            tasks.spawn(async move {
                loop {
                    let intent = intent(&format!("caller-{caller}"));
                    let id = intent.query.query_id;
                    trail.record(intent.clone()).await.unwrap();
                    say(&format!("intent {id}"));
                    trail.record(effect(&intent, Outcome::Completed)).await.unwrap();
                    say(&format!("effect {id}"));
                }
            });
        }
        tasks.join_next().await;
    });
}

#[test]
fn every_acknowledged_event_survives_kill_9_and_open_intents_become_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    let mut head = None;
    for round in 1..=3 {
        let command = Command::new(std::env::current_exe().unwrap());
        let (mut child, said) = start(command, "child::record_until_killed", dir.path());
        // Killed while it goes on writing.
        for (count, line) in said.enumerate() {
            acknowledged.insert(line);
            if count == 300 + round * 37 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();

        let trail = Trail::open(dir.path()).unwrap();
        let mut held = HashSet::new();
        let mut interrupted = 0;
        for event in events(dir.path()) {
            let kind = match &event.kind {
                EventKind::Intent => "intent",
                EventKind::Effect(effect) if effect.outcome == Outcome::Interrupted => {
                    interrupted += 1;
                    "interrupted"
                }
                _ => "effect",
            };
            assert!(held.insert(format!("{kind} {}", event.query.query_id)), "an event is there twice");
        }
        let lost: Vec<_> = acknowledged.difference(&held).collect();
        assert!(lost.is_empty(), "{} acknowledged events are lost", lost.len());
        assert!(acknowledged.len() > 300 * round);
        assert!((round..=8 * round).contains(&interrupted), "{interrupted} interrupted after {round} kills");
        let report = verify(dir.path(), head.as_ref()).unwrap();
        assert!(report.is_intact(), "{report}");
        assert_eq!(report.open_intents, 0);
        assert!(report.segments as usize > round);
        head = Some(trail.head());
    }
}

#[test]
#[ignore = "run by a_process_that_runs_out_of_space_refuses_and_goes_on_when_there_is_room_again"]
fn record_until_refused() {
    let (dir, mut orders) = orders();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let trail = Trail::open(dir).unwrap();
        loop {
            let intent = intent("alice");
            match trail.record(intent.clone()).await {
                Ok(()) => say(&format!("recorded {}", intent.query.query_id)),
                Err(error) => {
                    say(&format!("refused {}", error.message()));
                    break;
                }
            }
        }
        let still = trail.record(intent("alice")).await;
        say(if still.is_err() { "still refused" } else { "took it" });
        assert_eq!(orders.next().as_deref(), Some("there is room"));
        let intent = intent("bob");
        match trail.record(intent.clone()).await {
            Ok(()) => say(&format!("recorded {}", intent.query.query_id)),
            Err(error) => say(&format!("refused {}", error.message())),
        }
    });
}

/// A limit on the size of files fails writes in the middle, as a full disk does, and needs no privileges.
#[cfg(target_os = "linux")]
#[test]
fn a_process_that_runs_out_of_space_refuses_and_goes_on_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 100; exec \"$0\" \"$@\""]);
    command.arg(std::env::current_exe().unwrap());
    let (mut child, mut said) = start(command, "child::record_until_refused", dir.path());
    let mut recorded = HashSet::new();
    let refusal = loop {
        let line = said.next().expect("the child went on until it was refused");
        match line.strip_prefix("recorded ") {
            Some(id) => recorded.insert(id.to_owned()),
            None => break line,
        };
    };
    assert!(refusal.contains("cannot be written"), "{refusal}");
    assert!(recorded.len() > 20);
    assert_eq!(said.next().as_deref(), Some("still refused"));
    // The trail is whole while it is full.
    assert_eq!(events(dir.path()).len(), recorded.len());
    let report = verify(dir.path(), None).unwrap();
    assert!(report.is_intact(), "{report}");

    let lifted = Command::new("prlimit").args(["--pid", &child.id().to_string(), "--fsize=unlimited"]).status();
    assert!(lifted.unwrap().success());
    writeln!(child.stdin.as_mut().unwrap(), "there is room").unwrap();
    let last = said.next().unwrap();
    recorded.insert(last.strip_prefix("recorded ").expect("recorded again").to_owned());
    assert!(child.wait().unwrap().success());

    let held: HashSet<_> = events(dir.path()).iter().map(|event| event.query.query_id.to_string()).collect();
    assert_eq!(held, recorded);
    assert!(verify(dir.path(), None).unwrap().is_intact());
}
