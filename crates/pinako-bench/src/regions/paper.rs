//! What the paper found: Z. Song and N. Roussopoulos, "A New Method to Store and Retrieve Images", CS-TR-3991, University
//! of Maryland, February 11, 1999; tables 1 to 4, as printed there.

/// The sides of its images, in pixels.
pub const SIDE: u32 = 1024;

/// The sides of the queries of table 1.
pub const RUN_QUERIES: [u32; 6] = [750, 600, 450, 300, 150, 50];

/// Table 1, "Number of data segment": for each of [`RUN_QUERIES`] row-wise, then n = 0 to 5.
pub const RUNS: [[f64; 7]; 6] = [
    [750.0, 743.91, 356.45, 182.73, 84.40, 48.81, 23.85],
    [600.0, 619.00, 273.82, 148.80, 69.96, 39.78, 19.78],
    [450.0, 475.04, 212.12, 116.75, 56.30, 29.31, 14.57],
    [300.0, 306.67, 142.06, 73.92, 35.79, 16.88, 8.17],
    [150.0, 155.04, 71.78, 37.70, 17.54, 9.04, 4.01],
    [50.0, 51.27, 24.71, 13.36, 7.23, 4.28, 1.41],
];

/// The sides of the queries of tables 2 to 4.
pub const TIME_QUERIES: [u32; 8] = [800, 700, 600, 500, 400, 300, 200, 100];

/// The pixel sizes, in bytes, of tables 2 to 4.
pub const PIXEL_SIZES: [u16; 3] = [12, 8, 4];

/// Tables 2 to 4, "Average reading time (sec)": for each of [`PIXEL_SIZES`], for each of [`TIME_QUERIES`] row-wise,
/// then n = 0 to 4.
pub const SECONDS: [[[f64; 6]; 8]; 3] = [
    [
        [1.28, 1.26, 1.09, 1.15, 1.22, 1.27],
        [1.00, 1.02, 0.85, 0.90, 0.96, 1.00],
        [0.73, 0.71, 0.63, 0.67, 0.73, 0.77],
        [0.58, 0.63, 0.48, 0.46, 0.53, 0.58],
        [0.33, 0.33, 0.31, 0.34, 0.37, 0.39],
        [0.24, 0.24, 0.20, 0.20, 0.23, 0.25],
        [0.13, 0.14, 0.11, 0.12, 0.12, 0.13],
        [0.060, 0.062, 0.052, 0.052, 0.062, 0.069],
    ],
    [
        [0.73, 0.78, 0.70, 0.65, 0.72, 0.81],
        [0.57, 0.56, 0.54, 0.51, 0.61, 0.65],
        [0.48, 0.48, 0.44, 0.42, 0.48, 0.50],
        [0.38, 0.38, 0.31, 0.33, 0.34, 0.37],
        [0.27, 0.28, 0.24, 0.24, 0.25, 0.26],
        [0.17, 0.19, 0.15, 0.15, 0.16, 0.17],
        [0.070, 0.065, 0.062, 0.060, 0.073, 0.080],
        [0.035, 0.032, 0.030, 0.030, 0.034, 0.037],
    ],
    [
        [0.37, 0.37, 0.36, 0.34, 0.35, 0.39],
        [0.33, 0.34, 0.30, 0.30, 0.29, 0.31],
        [0.26, 0.27, 0.25, 0.22, 0.24, 0.27],
        [0.18, 0.20, 0.17, 0.16, 0.15, 0.18],
        [0.12, 0.13, 0.12, 0.11, 0.10, 0.13],
        [0.079, 0.078, 0.075, 0.076, 0.075, 0.081],
        [0.043, 0.043, 0.040, 0.038, 0.039, 0.042],
        [0.030, 0.031, 0.028, 0.026, 0.026, 0.028],
    ],
];

/// The n* that section 4 says were found, for each of [`PIXEL_SIZES`]. The least times of the tables stand a column
/// before.
pub const N_STARS: [&str; 3] = ["2, sometimes 3", "3", "3 or 4"];

/// The savings printed in tables 2 to 4, in per cent of the row-wise time.
pub const SAVINGS: [[f64; 8]; 3] = [
    [14.44, 15.25, 13.79, 20.44, 6.81, 15.77, 16.39, 13.26],
    [9.68, 10.33, 12.70, 16.43, 11.93, 11.90, 11.13, 15.36],
    [6.66, 13.16, 13.83, 16.90, 12.96, 5.69, 10.63, 11.88],
];

/// A reading is "special", and its time not counted, where it takes as many times the average.
pub const SPECIAL: f64 = 1000.0;

/// Bytes of the file that was read from.
pub const FILE_BYTES: u64 = 1 << 30;

/// The n of the least time in a row of tables 2 to 4; of several, the least.
pub fn best_growth(row: &[f64; 6]) -> usize {
    (0..5).min_by(|&a, &b| row[a + 1].total_cmp(&row[b + 1])).unwrap_or(0)
}

/// The n* that follows from the benefit as it is printed there, `B_n = (c / 2^(n+2)) t1 - 2 c 3^(n-2) s t2` for a
/// perimeter of c pixels: the largest n at which that is positive, where `ratio` is t1 / (s t2), the pixels read in
/// the time that a read costs.
///
/// The formula does not agree with the case n = 1 that it is said to continue, which has `(c / 2) s t2`, nor with what
/// queries read: [`n_star`](pinako::plan::Cost::n_star) goes by the pixels that growing adds.
pub fn printed_n_star(ratio: f64) -> u32 {
    let benefit = |n: i32| 2f64.powi(-n - 2) * ratio - 2.0 * 3f64.powi(n - 2);
    (1..=pinako::plan::MAX_GROWTH).take_while(|&n| benefit(n as i32) > 0.0).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is where 6^n reaches 9/8 of the ratio.
    #[test]
    fn the_printed_n_star_is_the_last_one_with_a_benefit() {
        let found = [0.1, 5.3, 5.4, 31.9, 32.1, 191.9, 192.1, 1e30].map(printed_n_star);
        assert_eq!(found, [0, 0, 1, 1, 2, 2, 3, pinako::plan::MAX_GROWTH]);
    }
}
