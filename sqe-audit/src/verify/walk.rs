//! Walking a chain from its first record to its last.

use std::collections::{BTreeMap, HashSet};

use sqe_core::{QueryId, Result};
use uuid::Uuid;

use super::report::{Fault, FaultKind, Report};
use crate::{
    hash::{Hash, Head},
    record::{Line, Mark, Outline},
    segment::{Segment, Step, io_error},
};

/// Looking up the first place of a repeated record reads its segment; a trail full of repeats is bad enough.
const LOOKUPS: u32 = 50;

/// What is known so far.
struct Walk<'a> {
    segments: &'a [Segment],
    head: Option<&'a Head>,
    report: Report,
    /// The last intact record in its place.
    seq: u64,
    hash: Hash,
    chain: Option<Uuid>,
    /// Gaps, first to last sequence number; whatever turns up later was moved, the rest is missing.
    missing: BTreeMap<u64, (u64, Fault)>,
    /// Lines since then that are changed or no records.
    spoiled: u64,
    open: HashSet<QueryId>,
    lookups: u32,
}

/// Where the walk stands.
struct Place<'a> {
    segment: &'a Segment,
    line: u64,
}

impl Place<'_> {
    fn fault(&self, kind: FaultKind, seq: Option<u64>, message: impl Into<String>) -> Fault {
        Fault { kind, file: self.segment.name(), line: self.line, seq, message: message.into() }
    }
}

/// Walks all segments. An unfinished last line comes back by itself: on a live trail it is no fault.
pub(crate) fn walk(segments: &[Segment], head: Option<&Head>) -> Result<(Report, Option<Fault>)> {
    let mut walk = Walk {
        segments,
        head,
        report: Report { segments: segments.len() as u64, ..Report::default() },
        seq: 0,
        hash: Hash::NONE,
        chain: None,
        missing: BTreeMap::new(),
        spoiled: 0,
        open: HashSet::new(),
        lookups: 0,
    };
    let mut unfinished = None;
    for (index, segment) in segments.iter().enumerate() {
        let unreadable = |error| io_error("cannot read", &segment.path, error);
        let mut lines = segment.lines().map_err(unreadable)?;
        let mut place = Place { segment, line: 0 };
        loop {
            let step = lines.step().map_err(unreadable)?;
            place.line += 1;
            match step {
                Step::End => break,
                Step::Line => walk.line(&place, lines.line()),
                Step::Unfinished => {
                    let fault = place.fault(
                        FaultKind::Unfinished,
                        Some(walk.seq + walk.spoiled + 1),
                        "the last line has no end; the next start moves it aside",
                    );
                    if index + 1 == segments.len() {
                        unfinished = Some(fault);
                    } else {
                        walk.report.add(fault);
                    }
                    break;
                }
            }
        }
    }
    Ok((walk.finish(), unfinished))
}

impl Walk<'_> {
    fn line(&mut self, place: &Place<'_>, bytes: &[u8]) {
        let Some(line) = Line::parse(bytes) else {
            let seq = self.seq + self.spoiled + 1;
            self.report.add(place.fault(FaultKind::Malformed, Some(seq), "this line is no record"));
            self.spoiled += 1;
            return;
        };
        if !line.is_intact() {
            let message = format!("record {} does not have the hash that it names", line.seq);
            self.report.add(place.fault(FaultKind::Changed, Some(line.seq), message));
            self.spoiled += 1;
            return;
        }
        if line.seq <= self.seq {
            self.repeated(place, &line);
            return;
        }
        // Spoiled lines are taken for the records that stood in their place.
        let explained = self.seq + self.spoiled;
        if line.seq > explained + 1 {
            self.gap(place, explained + 1, line.seq - 1);
        } else if line.seq == self.seq + 1 && line.prev != self.hash {
            let message = format!(
                "record {} does not follow record {}: that one was rewritten, or two writers went different ways",
                line.seq, self.seq
            );
            self.report.add(place.fault(FaultKind::Forked, Some(line.seq), message));
        }
        self.seq = line.seq;
        self.hash = line.hash;
        self.spoiled = 0;
        self.contents(place, &line);
    }

    fn gap(&mut self, place: &Place<'_>, first: u64, last: u64) {
        let begins_file = place.line == 1 && place.segment.first == last + 1;
        let kind = if begins_file { FaultKind::MissingSegment } else { FaultKind::Removed };
        let what = if first == last { format!("record {first} is") } else { format!("records {first} to {last} are") };
        let message = format!("{what} missing before this line");
        self.missing.insert(first, (last, place.fault(kind, Some(first), message)));
    }

    /// A record with a sequence number that the walk has passed.
    fn repeated(&mut self, place: &Place<'_>, line: &Line<'_>) {
        let gap = self.missing.range(..=line.seq).next_back().filter(|(_, (last, _))| *last >= line.seq);
        if let Some((&first, _)) = gap {
            let message = format!("record {} stands behind record {}", line.seq, self.seq);
            self.report.add(place.fault(FaultKind::Reordered, Some(line.seq), message));
            // What is left of the gap stays missing.
            if let Some((last, fault)) = self.missing.remove(&first) {
                let rest = [(first, line.seq - 1), (line.seq + 1, last)];
                for (first, last) in rest.into_iter().filter(|(first, last)| first <= last) {
                    let message = format!("records {first} to {last} are missing before this line");
                    self.missing.insert(first, (last, Fault { seq: Some(first), message, ..fault.clone() }));
                }
            }
            return;
        }
        let (kind, message) = match self.first_hash(line.seq) {
            Some(hash) if hash == line.hash => (FaultKind::Duplicated, format!("record {} is here again", line.seq)),
            Some(_) => (FaultKind::Forked, format!("there is another record {} before this one", line.seq)),
            None => (FaultKind::Reordered, format!("record {} stands behind record {}", line.seq, self.seq)),
        };
        self.report.add(place.fault(kind, Some(line.seq), message));
    }

    /// The hash of the first intact record `seq` in the segment that should hold it.
    fn first_hash(&mut self, seq: u64) -> Option<Hash> {
        self.lookups += 1;
        let segment = self.segments.iter().rev().find(|segment| segment.first <= seq)?;
        if self.lookups > LOOKUPS {
            return None;
        }
        let mut lines = segment.lines().ok()?;
        while lines.step().ok()? == Step::Line {
            if let Some(line) = Line::parse(lines.line()).filter(|line| line.seq == seq && line.is_intact()) {
                return Some(line.hash);
            }
        }
        None
    }

    /// What an intact record in its place says.
    fn contents(&mut self, place: &Place<'_>, line: &Line<'_>) {
        let fault = |kind, message: &str| place.fault(kind, Some(line.seq), message);
        let begins_file = place.line == 1;
        let found = match line.outline() {
            Err(_) => Some(fault(FaultKind::Malformed, "the record has a hash of its own but is none of a trail")),
            Ok(Outline::Genesis { chain }) if line.seq == 1 && begins_file => self.chain(chain, place, line),
            Ok(Outline::Segment(header)) if line.seq > 1 && begins_file => self.chain(header.chain, place, line),
            Ok(Outline::Genesis { .. } | Outline::Segment(_)) => {
                Some(fault(FaultKind::Forked, "this record may only begin a file"))
            }
            Ok(_) if begins_file => Some(fault(FaultKind::Removed, "the file's first record is missing")),
            Ok(Outline::Opened {} | Outline::Resumed {}) => None,
            Ok(Outline::Recovered { torn }) => {
                self.report.recovered.push(torn);
                None
            }
            Ok(Outline::Event(event)) => {
                match event.mark() {
                    Mark::Intent(query, _) => self.open.insert(query),
                    Mark::Effect(query, _) => self.open.remove(&query),
                    Mark::System | Mark::Alone(_) => false,
                };
                None
            }
        };
        match found {
            Some(fault) => self.report.add(fault),
            None => self.report.records += 1,
        }
        if begins_file && place.segment.first != line.seq {
            let message = format!("the file begins with record {}, not with the one it is named after", line.seq);
            self.report.add(place.fault(FaultKind::Forked, Some(line.seq), message));
        }
        if let Some(chain) = self.chain {
            self.report.head = Some(Head::new(chain, line.seq, line.hash));
        }
        if let Some(head) = self.head.filter(|head| head.seq == line.seq && head.hash != line.hash) {
            let message = format!("record {} is not the one of the head that was kept elsewhere", head.seq);
            self.report.add(place.fault(FaultKind::Rewritten, Some(head.seq), message));
        }
    }

    fn chain(&mut self, chain: Uuid, place: &Place<'_>, line: &Line<'_>) -> Option<Fault> {
        let other = self.chain.is_some_and(|known| known != chain);
        self.chain.get_or_insert(chain);
        self.report.chain = self.chain;
        other.then(|| place.fault(FaultKind::OtherChain, Some(line.seq), format!("this file belongs to chain {chain}")))
    }

    fn finish(mut self) -> Report {
        for (_, (_, fault)) in std::mem::take(&mut self.missing) {
            self.report.add(fault);
        }
        let nowhere = |kind, seq, message| Fault { kind, file: String::new(), line: 0, seq, message };
        if let Some(head) = self.head {
            if self.chain.is_some_and(|chain| chain != head.chain) {
                let message = format!("the head that was kept elsewhere is of chain {}", head.chain);
                self.report.add(nowhere(FaultKind::OtherChain, None, message));
            } else if self.seq + self.spoiled < head.seq {
                let first = self.seq + self.spoiled + 1;
                let message = format!("records {first} to {} are missing at the end", head.seq);
                self.report.add(nowhere(FaultKind::Truncated, Some(first), message));
            }
        }
        self.report.open_intents = self.open.len() as u64;
        self.report
    }
}
