//! Whether the audit is whole: every hash, every place, every chain that another one or a checkpoint names.

use std::collections::BTreeMap;

use pos_protocol::text::base64url;

use super::entry::{Beginning, ChainEnd};
use super::{AuditRow, Head};
use crate::store::rows::Incarnation;

/// What is wrong with the audit, as a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The row is not what was written.
    #[error(
        "chain {}: row {seq} was edited, or is not the one that was written there",
        base64url(writer)
    )]
    Edited {
        /// Whose chain.
        writer: Incarnation,
        /// Which row.
        seq: u64,
    },
    /// Rows are missing before this one.
    #[error("chain {}: rows {from} to {to} are missing", base64url(writer))]
    Missing {
        /// Whose chain.
        writer: Incarnation,
        /// The first that is missing.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The chain is shorter than it once was.
    #[error(
        "chain {}: {named_by} knows {known} rows of it, and there are {found}: the rest was cut off",
        base64url(writer)
    )]
    CutOff {
        /// Whose chain.
        writer: Incarnation,
        /// Who knows better.
        named_by: String,
        /// Rows that there were.
        known: u64,
        /// Rows that there are.
        found: u64,
    },
    /// The chain is not the one that was there.
    #[error("chain {}: it is not the one that {named_by} names", base64url(writer))]
    Replaced {
        /// Whose chain.
        writer: Incarnation,
        /// Who names it.
        named_by: String,
    },
}

/// A chain as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The head that was seen.
    pub head: Head,
    /// Who saw it: another chain, or a checkpoint.
    pub by: String,
}

/// What a verification came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many chains there are.
    pub chains: u64,
    /// How many rows.
    pub rows: u64,
    /// What is wrong; empty when all is whole.
    pub findings: Vec<Finding>,
}

/// Reads the rows in the order of writer and place, and compares them with what witnesses saw.
#[derive(Debug)]
pub struct Verifier {
    /// What was seen of each chain, by count.
    witnesses: BTreeMap<Incarnation, Vec<Witness>>,
    heads: BTreeMap<Incarnation, Head>,
    rows: u64,
    findings: Vec<Finding>,
}

impl Verifier {
    /// Knows what the `beginnings` of all chains name, and what `checkpoints` saw.
    pub fn new(beginnings: &[AuditRow], checkpoints: Vec<Witness>) -> Self {
        let mut witnesses: BTreeMap<Incarnation, Vec<Witness>> = BTreeMap::new();
        for witness in beginnings.iter().flat_map(named).chain(checkpoints) {
            witnesses.entry(witness.head.writer).or_default().push(witness);
        }
        Self { witnesses, heads: BTreeMap::new(), rows: 0, findings: Vec::new() }
    }

    /// The next row.
    pub fn read(&mut self, row: &AuditRow) {
        let writer = row.writer;
        let head = self.heads.entry(writer).or_insert_with(|| Head::begin(writer));
        self.rows = self.rows.saturating_add(1);
        if row.seq > head.count {
            let to = row.seq.saturating_sub(1);
            self.findings.push(Finding::Missing { writer, from: head.count, to });
        } else if row.hash != row.expected(&head.hash) {
            self.findings.push(Finding::Edited { writer, seq: row.seq });
        }
        // What follows is compared with what stands here, so that one edit is one finding.
        *head = Head { writer, count: row.seq.saturating_add(1), hash: row.hash };
        let seen = self.witnesses.get(&writer).into_iter().flatten();
        for witness in seen.filter(|witness| witness.head.count == head.count) {
            if witness.head.hash != head.hash {
                let named_by = witness.by.clone();
                self.findings.push(Finding::Replaced { writer, named_by });
            }
        }
    }

    /// All rows were read.
    pub fn finish(mut self) -> Verified {
        for (writer, witnesses) in &self.witnesses {
            let found = self.heads.get(writer).map_or(0, |head| head.count);
            let most = witnesses.iter().max_by_key(|witness| witness.head.count);
            if let Some(witness) = most.filter(|witness| witness.head.count > found) {
                self.findings.push(Finding::CutOff {
                    writer: *writer,
                    named_by: witness.by.clone(),
                    known: witness.head.count,
                    found,
                });
            }
        }
        let chains = u64::try_from(self.heads.len()).unwrap_or(u64::MAX);
        Verified { chains, rows: self.rows, findings: self.findings }
    }
}

/// The chains that a chain's first row names.
fn named(row: &AuditRow) -> Vec<Witness> {
    let by = format!("chain {}", base64url(&row.writer));
    let Ok(beginning) = serde_json::from_str::<Beginning>(&row.body) else { return Vec::new() };
    let ends = beginning.chains.iter().filter_map(ChainEnd::read);
    ends.map(|head| Witness { head, by: by.clone() }).collect()
}

/// The heads that no chain names yet: those that a new one has to name.
pub(in crate::store) fn unnamed(heads: Vec<Head>, beginnings: &[AuditRow]) -> Vec<Head> {
    let named: Vec<Head> = beginnings.iter().flat_map(named).map(|one| one.head).collect();
    heads.into_iter().filter(|head| !named.contains(head)).collect()
}

#[cfg(test)]
mod tests {
    use pos_protocol::Timestamp;

    use super::super::entry::begins;
    use super::super::{Entry, Head};
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn rows(head: &mut Head, bodies: &[&str]) -> Vec<AuditRow> {
        let entry = |body: &&str| Entry { at: NOW, shop: None, body: (*body).into() };
        bodies.iter().map(|body| head.append(entry(body))).collect()
    }

    /// Two chains; the second one names the first.
    fn two() -> (Vec<AuditRow>, Vec<AuditRow>) {
        let mut first = Head::begin([1; 16]);
        let old = rows(&mut first, &["a", "b", "c"]);
        let mut second = Head::begin([2; 16]);
        let mut new = vec![second.append(begins(NOW, &[first]))];
        new.extend(rows(&mut second, &["d", "e"]));
        (old, new)
    }

    fn verified(rows: &[AuditRow], checkpoints: Vec<Witness>) -> Verified {
        let beginnings: Vec<_> = rows.iter().filter(|row| row.seq == 0).cloned().collect();
        let mut verifier = Verifier::new(&beginnings, checkpoints);
        rows.iter().for_each(|row| verifier.read(row));
        verifier.finish()
    }

    fn findings(rows: &[AuditRow]) -> Vec<Finding> {
        verified(rows, Vec::new()).findings
    }

    #[test]
    fn what_was_written_is_whole() {
        let (old, new) = two();
        let all = [old, new].concat();
        assert_eq!(verified(&all, Vec::new()), Verified { chains: 2, rows: 6, findings: vec![] });
    }

    #[test]
    fn every_edit_of_every_row_is_found() {
        let (old, new) = two();
        let all = [old, new].concat();
        for at in 0..all.len() {
            let edits: [fn(&mut AuditRow); 5] = [
                |row| row.body = "forged".into(),
                |row| row.at = Timestamp::from_ms(row.at.as_ms() + 1),
                |row| row.shop = Some(pos_protocol::id::ShopId::from_octets([9; 16])),
                |row| row.hash[31] ^= 1,
                |row| row.hash = row.expected(&[0; 32]),
            ];
            for (n, edit) in edits.into_iter().enumerate() {
                let mut forged = all.clone();
                edit(&mut forged[at]);
                assert!(!findings(&forged).is_empty(), "edit {n} of row {at}");
            }
        }
    }

    #[test]
    fn deleted_swapped_and_cut_off_rows_are_found() {
        let (old, new) = two();
        let writer = [1; 16];
        let without = |at: usize| {
            let mut old = old.clone();
            old.remove(at);
            findings(&[old, new.clone()].concat())
        };
        assert_eq!(without(0), [Finding::Missing { writer, from: 0, to: 0 }]);
        assert_eq!(without(1), [Finding::Missing { writer, from: 1, to: 1 }]);
        let named_by = format!("chain {}", base64url(&[2; 16]));
        let cut = Finding::CutOff { writer, named_by, known: 3, found: 2 };
        assert_eq!(without(2), [cut]);
        assert!(
            matches!(findings(&new)[..], [Finding::CutOff { found: 0, .. }]),
            "the whole chain"
        );
        let mut swapped = old.clone();
        let (b, c) = (swapped[1].body.clone(), swapped[2].body.clone());
        (swapped[1].body, swapped[2].body) = (c, b);
        assert_eq!(findings(&[swapped, new].concat()).len(), 2);
    }

    #[test]
    fn a_checkpoint_shows_the_cut_tail_and_the_rewritten_chain() {
        let (old, new) = two();
        let mut head = Head::begin([2; 16]);
        new.iter().for_each(|row| {
            head = Head { count: row.seq + 1, hash: row.hash, ..head };
        });
        let seen = vec![Witness { head, by: "the checkpoint of noon".into() }];
        let all = [old.clone(), new.clone()].concat();
        assert_eq!(verified(&all, seen.clone()).findings, []);
        let cut = verified(&all[..5], seen.clone()).findings;
        assert!(matches!(&cut[..], [Finding::CutOff { known: 3, found: 2, .. }]), "{cut:?}");
        // A chain that was written anew is whole in itself.
        let mut anew = Head::begin([2; 16]);
        let forged = rows(&mut anew, &["x", "y", "z"]);
        let all = [old, forged].concat();
        assert_eq!(findings(&all), []);
        let replaced = verified(&all, seen).findings;
        assert!(matches!(&replaced[..], [Finding::Replaced { .. }]), "{replaced:?}");
    }

    #[test]
    fn a_new_chain_names_the_ends_that_nobody_named() {
        let (old, new) = two();
        let end = |rows: &[AuditRow]| {
            let last = rows.last().unwrap();
            Head { writer: last.writer, count: last.seq + 1, hash: last.hash }
        };
        let beginnings = [old[0].clone(), new[0].clone()];
        let heads = vec![end(&old), end(&new)];
        assert_eq!(unnamed(heads, &beginnings), [end(&new)]);
    }
}
