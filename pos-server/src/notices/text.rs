//! How notices are written for people.

use pos_protocol::Timestamp;

/// The instant as RFC 3339 writes it, in UTC with milliseconds: `2026-11-18T11:06:40.000Z`.
pub fn rfc3339(at: Timestamp) -> String {
    let (days, ms) = (at.as_ms() / 86_400_000, at.as_ms() % 86_400_000);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1_000 % 60,
        ms % 1_000
    )
}

/// Year, month and day of a day counted from 1970-01-01, by eras of 400 years that begin in March, so
/// that a leap day is the last of its year.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "no day that fits overflows, for 5 * 10^8 years"
)]
const fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_OF_ERA: u64 = 146_097;
    // Days from 0000-03-01 to 1970-01-01. Later than any date that there will be, the count stops.
    let days = days_since_1970 % (DAYS_OF_ERA * 1_000_000) + 719_468;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_rfc_3339_has_them() {
        // Seconds by `date -u -d … +%s`.
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_000_000_123, "2026-11-18T11:06:40.123Z"),
            (1_798_761_599_000, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_ms(ms)), text);
        }
    }
}
