//! What is made of a settlement file. It is taken only whole: what is taken can be reckoned again from
//! its own text by other means.

use std::collections::BTreeMap;

use pos_server::connectors::SettlementFormat;

pub(super) fn settlement(octets: &[u8]) {
    let Ok(file) = SettlementFormat::InstitutionProtocol.open(octets) else { return };
    let head = file.head().clone();
    assert!(head.from < head.until);
    assert_eq!(head.day.to_string().parse(), Ok(head.day));
    let Ok(lines) = file.collect::<Result<Vec<_>, _>>() else { return };
    assert!(lines.is_sorted_by(|one, next| one.operation_id < next.operation_id));
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for line in &lines {
        assert!(head.from <= line.time && line.time < head.until);
        *sums.entry(line.currency.to_string()).or_default() += line.amount.minor();
    }
    let text = std::str::from_utf8(octets).expect("a file that is taken is UTF-8");
    // Two lines before them, and the control line behind.
    assert_eq!(text.lines().count(), lines.len() + 3);
    assert!(text.ends_with('\n'));
    let last: String = text.lines().next_back().expect("a line").replace('"', "");
    let mut told = last.split(',');
    assert_eq!(told.next(), Some("end"));
    assert_eq!(told.next(), Some(lines.len().to_string().as_str()));
    for (currency, sum) in sums {
        assert_eq!((told.next(), told.next()), (Some(&*currency), Some(&*sum.to_string())));
    }
    assert_eq!(told.next(), None);
}
