//! Figures as people read them: three digits, and a unit that fits. Everything that is shown (tables, plots, pages,
//! sentences) is written by these, so that the same figure looks the same everywhere.

/// A time: `812 ns`, `1.30 µs`, `24.0 ms`, `3.05 s`, `12.5 min`.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 999.5e-9 => format!("{} ns", digits(s * 1e9)),
        s if s < 999.5e-6 => format!("{} µs", digits(s * 1e6)),
        s if s < 999.5e-3 => format!("{} ms", digits(s * 1e3)),
        s if s < 300.0 => format!("{} s", digits(s)),
        s => format!("{} min", digits(s / 60.0)),
    }
}

/// Bytes, in powers of 1000: `512 B`, `41.0 kB`, `393 MB`.
pub fn bytes(bytes: f64) -> String {
    match bytes {
        b if b < 999.5 => format!("{b:.0} B"),
        b if b < 999.5e3 => format!("{} kB", digits(b / 1e3)),
        b if b < 999.5e6 => format!("{} MB", digits(b / 1e6)),
        b => format!("{} GB", digits(b / 1e9)),
    }
}

/// A number with a comma between thousands: `100,000`.
pub fn count(number: u64) -> String {
    let plain = number.to_string();
    let mut grouped = String::with_capacity(plain.len() + plain.len() / 3);
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many of what is `one`: `1 image`, `2,000 images`.
pub fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A rate for people, to three digits: `4,120,000`.
pub fn rate(per_second: f64) -> String {
    if per_second < 999.5 {
        return digits(per_second);
    }
    let step = 10f64.powf(per_second.log10().floor() - 2.0);
    count(((per_second / step).round() * step) as u64)
}

/// How many times one is the other: `1.05x`, `1.3x`, `24x`.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        r if r < 1.095 => format!("{r:.2}x"), // 1.0x would say that they are the same
        r if r < 9.95 => format!("{r:.1}x"),
        r if r < 999.5 => format!("{r:.0}x"),
        r => format!("{}x", rate(r)),
    }
}

/// A time on an axis: `0`, `10 µs`, `0.5 s`.
pub fn short_seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.5e-12 => "0".to_owned(),
        s if s < 999.5e-9 => format!("{} ns", trimmed(s * 1e9)),
        s if s < 999.5e-6 => format!("{} µs", trimmed(s * 1e6)),
        s if s < 999.5e-3 => format!("{} ms", trimmed(s * 1e3)),
        s => format!("{} s", trimmed(s)),
    }
}

/// Bytes on an axis: `0`, `500 kB`, `1.5 GB`.
pub fn short_bytes(bytes: f64) -> String {
    match bytes {
        b if b < 0.5 => "0".to_owned(),
        b if b < 999.5 => format!("{} B", trimmed(b)),
        b if b < 999.5e3 => format!("{} kB", trimmed(b / 1e3)),
        b if b < 999.5e6 => format!("{} MB", trimmed(b / 1e6)),
        b => format!("{} GB", trimmed(b / 1e9)),
    }
}

/// A number on an axis, to three decimals at most and without zeros at its end.
pub fn trimmed(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Three digits.
fn digits(number: f64) -> String {
    match number {
        n if n < 9.995 => format!("{n:.2}"),
        n if n < 99.95 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit_that_fits() {
        let times = [0.0, 8.124e-7, 1.3e-6, 0.9994e-3, 0.9996e-3, 0.024, 3.049, 99.97, 750.0].map(seconds);
        assert_eq!(
            times,
            ["0.00 ns", "812 ns", "1.30 µs", "999 µs", "1.00 ms", "24.0 ms", "3.05 s", "100 s", "12.5 min"]
        );
        assert_eq!([512.0, 40_960.0, 393e6, 1.5e9].map(bytes), ["512 B", "41.0 kB", "393 MB", "1.50 GB"]);
        assert_eq!([0, 999, 1_000, 100_000, 1_234_567].map(count), ["0", "999", "1,000", "100,000", "1,234,567"]);
        assert_eq!([0, 1, 2_000].map(|number| counted(number, "image")), ["0 images", "1 image", "2,000 images"]);
        assert_eq!([12.34, 54_321.0, 4_123_456.0].map(rate), ["12.3", "54,300", "4,120,000"]);
        assert_eq!([0.0, 1e-5, 0.5, 0.02, 100.0].map(short_seconds), ["0", "10 µs", "500 ms", "20 ms", "100 s"]);
        assert_eq!([0.0, 2.5e3, 1e6].map(short_bytes), ["0", "2.5 kB", "1 MB"]);
        assert_eq!([1.047, 1.26, 9.96, 1650.0].map(ratio), ["1.05x", "1.3x", "10x", "1,650x"]);
    }
}
