//! What follows from the figures, in words.
//!
//! Rules, and no more than rules: each question people ask has one operation that answers it, at the largest count.
//! The least median is best; whoever [cannot be told apart](crate::summary::Summary::ties_with) from it is level with
//! it. Who suits most is whose medians are the fewest times the best one's, in the geometric mean over the questions,
//! so that no unit and no single question decides.

use serde::Serialize;

use super::report::{Measurement, Operation};
use crate::figures;

/// What follows from the figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommendation {
    /// What to take if nothing else is known, and what that costs.
    pub headline: String,
    /// What to take for one purpose, by purpose.
    pub advice: Vec<Advice>,
    /// How both follow, for who reads them.
    pub rule: String,
}

/// An answer to one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// What is wanted: a clause that completes "if you ...".
    pub purpose: String,
    /// Which operation answers it.
    pub operation: Operation,
    /// The best backend, and those level with it.
    pub best: Vec<String>,
    /// The answer in a sentence.
    pub text: String,
}

/// The questions, what answers them, and how a better one is praised.
const QUESTIONS: [(Operation, &str, Praise); 6] = [
    (Operation::StoreSynced, "store many images safely", Praise::Faster("stores")),
    (Operation::ReadWarm, "read all of them again and again", Praise::Faster("reads everything")),
    (Operation::ReadCold, "read all of them for the first time", Praise::Faster("reads everything from the disk")),
    (Operation::RandomWarm, "read single images at random", Praise::Faster("reads single images")),
    (
        Operation::RandomCold,
        "read single images that are not in memory",
        Praise::Faster("reads single images from the disk"),
    ),
    (Operation::Disk, "are short of disk space", Praise::Less("takes", "disk")),
];

#[derive(Clone, Copy)]
enum Praise {
    Faster(&'static str),
    Less(&'static str, &'static str),
}

/// How the answers follow from the figures: what [`advice`] and [`ranking`] do, in words.
const RULE: &str = "How this follows: each answer is the least median at the largest count. Others are level with it where \
     the middle halves of their samples (first to third quartile) overlap with its, or their medians are within 3 %. The \
     choice over all is who needs, in the geometric mean over the questions that were asked of it, the fewest times what \
     the best answer needs; level counts as once, and within 10 % nobody is chosen.";

/// A gain below this is not worth a word in the headline.
const WORTH_A_WORD: f64 = 1.1;

/// What follows from `measurements`.
pub(super) fn recommend(measurements: &[Measurement]) -> Recommendation {
    let fields: Vec<(Question, Vec<&Measurement>)> = QUESTIONS
        .into_iter()
        .filter_map(|(operation, purpose, praise)| {
            let field = field(measurements, operation);
            (!field.is_empty()).then_some((Question { operation, purpose, praise }, field))
        })
        .collect();
    Recommendation {
        headline: headline(&fields),
        advice: fields.iter().map(|(question, field)| advice(question, field)).collect(),
        rule: RULE.to_owned(),
    }
}

struct Question {
    operation: Operation,
    purpose: &'static str,
    praise: Praise,
}

/// The measurements of `operation` at its largest count, best first.
fn field(measurements: &[Measurement], operation: Operation) -> Vec<&Measurement> {
    let of_operation = || measurements.iter().filter(|found| found.operation == operation);
    let largest = of_operation().map(|found| found.count).max();
    let mut field: Vec<&Measurement> = of_operation().filter(|found| Some(found.count) == largest).collect();
    field.sort_by(|a, b| a.summary.median.total_cmp(&b.summary.median));
    field
}

fn advice(question: &Question, field: &[&Measurement]) -> Advice {
    let first = field[0];
    let (level, others): (Vec<&Measurement>, Vec<&Measurement>) =
        field.iter().partition(|found| found.summary.ties_with(&first.summary));
    let best: Vec<String> = level.iter().map(|found| found.backend.clone()).collect();
    let what = match question.operation {
        Operation::RandomWarm | Operation::RandomCold => "an image".to_owned(),
        _ => figures::counted(first.count, "image"),
    };
    let mut text = match &level[..] {
        [one] => format!("{}: {} for {what}", one.backend, figure(one)),
        _ => {
            let each: Vec<String> = level.iter().map(|found| format!("{} {}", found.backend, figure(found))).collect();
            format!("{} are level for {what} ({})", list(&best), each.join(", "))
        }
    };
    if let Some(next) = others.first() {
        let ratio = figures::ratio(next.summary.median / first.summary.median);
        text += &format!("; next is {} with {}, {ratio} as much", next.backend, figure(next));
    }
    text.push('.');
    Advice { purpose: question.purpose.to_owned(), operation: question.operation, best, text }
}

fn headline(fields: &[(Question, Vec<&Measurement>)]) -> String {
    let mut ranking = ranking(fields);
    ranking.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (winner, score) = match ranking[..] {
        [] => return "Nothing was measured.".to_owned(),
        [(only, _)] => return format!("Only {only} was measured, so there is nothing to choose from."),
        [first, ..] => first,
    };
    let near: Vec<String> =
        ranking.iter().filter(|other| other.1 <= score * WORTH_A_WORD).map(|other| other.0.to_owned()).collect();
    let asked = fields.iter().filter(|(_, field)| field.iter().any(|found| found.backend == winner)).count();
    let mut text = match near.len() {
        1 if score < 1.005 => {
            format!("Choose {winner}: it is best, or level with the best, at all {asked} questions.")
        }
        1 => format!(
            "If unsure, choose {winner}: averaged over {asked} questions it needs {} what the best answer to each needs, \
             less than any other.",
            figures::ratio(score)
        ),
        _ => format!("All in all {} are level: choose by what matters to you.", list(&near)),
    };
    let costs = better_ones(fields, winner);
    if !costs.is_empty() {
        text += &format!(" Against {winner}, {}.", costs.join("; "));
    }
    text
}

/// Each backend with the geometric mean of how many times the best median its own are, over the questions that it was
/// asked: stores on servers are not read cold.
fn ranking<'a>(fields: &[(Question, Vec<&'a Measurement>)]) -> Vec<(&'a str, f64)> {
    let mut ranking: Vec<(&str, Vec<f64>)> = Vec::new();
    for (_, field) in fields {
        let best = field[0].summary;
        for found in field {
            let times = match found.summary.ties_with(&best) {
                true => 1.0,
                false => found.summary.median / best.median,
            };
            match ranking.iter_mut().find(|(backend, _)| *backend == found.backend) {
                Some((_, all)) => all.push(times),
                None => ranking.push((&found.backend, vec![times])),
            }
        }
    }
    let mean = |all: &[f64]| (all.iter().map(|times| times.ln()).sum::<f64>() / all.len() as f64).exp();
    ranking.into_iter().map(|(backend, all)| (backend, mean(&all))).collect()
}

/// Who beats `winner` at what, one clause a backend: "hdf5 stores 2.3x faster and takes 25 % less disk".
fn better_ones(fields: &[(Question, Vec<&Measurement>)], winner: &str) -> Vec<String> {
    let mut praised: Vec<(&str, Vec<String>)> = Vec::new();
    for (question, field) in fields {
        let Some(own) = field.iter().find(|found| found.backend == winner) else { continue };
        let best = field[0];
        let gain = own.summary.median / best.summary.median;
        if own.summary.ties_with(&best.summary) || gain < WORTH_A_WORD {
            continue;
        }
        let praise = match question.praise {
            Praise::Faster(does) => format!("{does} {} faster", figures::ratio(gain)),
            Praise::Less(takes, what) => format!("{takes} {:.0} % less {what}", (1.0 - 1.0 / gain) * 100.0),
        };
        match praised.iter_mut().find(|(backend, _)| *backend == best.backend) {
            Some((_, praises)) => praises.push(praise),
            None => praised.push((&best.backend, vec![praise])),
        }
    }
    praised.into_iter().map(|(backend, praises)| format!("{backend} {}", list(&praises))).collect()
}

fn figure(found: &Measurement) -> String {
    let median = found.unit.text(found.summary.median);
    match (found.operation, found.p95) {
        (Operation::RandomCold, Some(p95)) => format!("{median} on average (95 % below {})", found.unit.text(p95)),
        _ => median,
    }
}

/// "a", "a and b", "a, b and c".
fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(backend: &str, operation: Operation, samples: &[f64]) -> Measurement {
        Measurement::new(backend.into(), 100_000, operation, samples.to_vec(), Vec::new()).unwrap()
    }

    fn advice_on(recommendation: &Recommendation, operation: Operation) -> &Advice {
        recommendation.advice.iter().find(|advice| advice.operation == operation).unwrap()
    }

    #[test]
    fn the_fastest_is_chosen_and_the_next_is_named_with_its_ratio() {
        let found = recommend(&[
            measured("hdf5", Operation::RandomWarm, &[2.1e-6, 2.0e-6, 2.2e-6]),
            measured("lmdb", Operation::RandomWarm, &[0.9e-6, 0.91e-6, 0.89e-6]),
            measured("sqlite", Operation::RandomWarm, &[9.1e-6, 9.0e-6, 9.3e-6]),
        ]);
        let advice = advice_on(&found, Operation::RandomWarm);
        assert_eq!(advice.best, ["lmdb"]);
        assert_eq!(advice.text, "lmdb: 900 ns for an image; next is hdf5 with 2.10 µs, 2.3x as much.");
        assert_eq!(found.headline, "Choose lmdb: it is best, or level with the best, at all 1 questions.");
    }

    #[test]
    fn what_overlaps_is_level_and_not_ranked() {
        let found = recommend(&[
            measured("hdf5", Operation::StoreSynced, &[0.70, 0.75, 0.90]),
            measured("lmdb", Operation::StoreSynced, &[0.72, 0.80, 0.85]),
            measured("files", Operation::StoreSynced, &[9.0, 9.5, 10.0]),
        ]);
        let advice = advice_on(&found, Operation::StoreSynced);
        assert_eq!(advice.best, ["hdf5", "lmdb"]);
        assert_eq!(
            advice.text,
            "hdf5 and lmdb are level for 100,000 images (hdf5 750 ms, lmdb 800 ms); \
             next is files with 9.50 s, 13x as much."
        );
        assert_eq!(found.headline, "All in all hdf5 and lmdb are level: choose by what matters to you.");
    }

    #[test]
    fn the_headline_says_what_the_choice_costs() {
        let found = recommend(&[
            measured("lmdb", Operation::StoreSynced, &[2.3]),
            measured("hdf5", Operation::StoreSynced, &[1.0]),
            measured("lmdb", Operation::RandomWarm, &[1e-6]),
            measured("hdf5", Operation::RandomWarm, &[2e-6]),
            measured("lmdb", Operation::RandomCold, &[1e-4]),
            measured("hdf5", Operation::RandomCold, &[4e-4]),
            measured("lmdb", Operation::Disk, &[4e8]),
            measured("hdf5", Operation::Disk, &[3e8]),
        ]);
        assert_eq!(
            found.headline,
            "If unsure, choose lmdb: averaged over 4 questions it needs 1.3x what the best answer to each needs, \
             less than any other. \
             Against lmdb, hdf5 stores 2.3x faster and takes 25 % less disk."
        );
    }

    #[test]
    fn only_the_largest_count_decides() {
        let mut small = measured("files", Operation::Disk, &[1.0]);
        small.count = 10;
        let found =
            recommend(&[small, measured("lmdb", Operation::Disk, &[5.0]), measured("hdf5", Operation::Disk, &[9.0])]);
        assert_eq!(advice_on(&found, Operation::Disk).best, ["lmdb"]);
    }

    #[test]
    fn one_or_none_is_nothing_to_choose_from() {
        assert_eq!(recommend(&[]).headline, "Nothing was measured.");
        let found = recommend(&[measured("lmdb", Operation::Disk, &[5e6])]);
        assert_eq!(found.headline, "Only lmdb was measured, so there is nothing to choose from.");
        assert_eq!(found.advice[0].text, "lmdb: 5.00 MB for 100,000 images.");
    }
}
