//! The run itself, and that it sees what it is there to see.

use std::env;

use crate::soak::mutate::{Random, Supply, mutate};
use crate::soak::outcome::{CANARY, Outcome};
use crate::soak::report::{ORDER, Request, Row, Table, run_one};
use crate::soak::target::Target;
use crate::soak::targets;
use crate::soak::worker::{End, Order, work};

#[test]
fn readers_bear_what_nobody_would_write() {
    if let Ok(order) = env::var(ORDER) {
        let order: Order = serde_json::from_str(&order).unwrap();
        let mut all = targets().into_iter().chain(faulty());
        let target = all.find(|target| target.name == order.target).unwrap();
        return work(&target, &order).unwrap();
    }
    let request = Request::from_environment();
    let targets = targets();
    let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    let rows = request.run(&names);
    println!("{}", Table(&rows));
    let findings: Vec<&str> = rows.iter().flat_map(|row| row.finding.as_deref()).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Readers with one fault each, and what a finding says about it.
const FAULTS: &[(&str, &str)] = &[
    ("fault: panics", "index out of bounds"),
    ("fault: allocates", "memory allocation of"),
    ("fault: fills", "MiB of memory, and 32 are allowed"),
    ("fault: is slow", "of CPU time"),
    ("fault: recurses", "overflowed its stack"),
    ("fault: controls", "holds '"),
    ("fault: leaks", "gives away a secret"),
    ("fault: refuses", "none of its examples is accepted"),
];

fn faulty() -> Vec<Target> {
    let example = ["0123456789"];
    let at = |input: &[u8], index: usize| usize::from(*input.get(index).unwrap_or(&0));
    vec![
        Target::new("fault: panics", example, move |input| {
            Outcome::accepted().with(b"0123456789"[at(input, 3) % 16])
        }),
        Target::new("fault: allocates", example, move |input| {
            Outcome::accepted().with(vec![0_u8; at(input, 0) << 21].len())
        }),
        Target::new("fault: fills", example, move |input| {
            Outcome::accepted().with(vec![1_u8; at(input, 0) << 20].len())
        }),
        Target::new("fault: is slow", example, move |input| {
            let rounds = if at(input, 0) > 128 { 1 << 28 } else { 1 };
            let sum = (0..rounds).fold(0_u64, |sum, n| std::hint::black_box(sum + n));
            Outcome::accepted().with(sum)
        })
        .patience_ms(20),
        Target::text("fault: recurses", ["()"], |text| {
            Outcome::accepted().with(depth(text))
        }),
        Target::text("fault: controls", example, |text| {
            let plain = text.bytes().all(|b| b.is_ascii_digit());
            Outcome::accepted().saying(if plain { "digits" } else { text })
        }),
        Target::text("fault: leaks", [format!("0:{CANARY}")], |text| {
            match text.split_once(':') {
                Some(("0", _)) => Outcome::accepted(),
                _ => Outcome::refused(format!("not 0: {text:?}")),
            }
        }),
        Target::text("fault: refuses", example, |text| Outcome::refused(text)),
    ]
}

fn depth(text: &str) -> usize {
    let pad = std::hint::black_box([0_u8; 1024]);
    let more = text.strip_prefix('(').map_or(0, depth);
    more + usize::from(pad[0]) + 1
}

#[test]
fn each_fault_is_found() {
    for (name, expected) in FAULTS {
        let Row { finding, .. } = run_one(name, 1, End::Inputs(20_000));
        let finding = finding.unwrap_or_else(|| panic!("{name} was not found"));
        assert!(finding.contains(expected), "{finding}");
        let (_, path) = finding.split_once("HOIST_SOAK_INPUT=").unwrap();
        let path = path.strip_suffix(" make soak").unwrap();
        assert!(std::path::Path::new(path).exists(), "{finding}");
    }
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let corpus = [b"one, two".to_vec(), b"{\"three\":3}".to_vec()];
    let words = [b"four".to_vec()];
    let supply = Supply {
        corpus: &corpus,
        words: &words,
        longest: 300,
    };
    let inputs = |seed| {
        let mut random = Random::new(seed);
        let make = |_| mutate(&corpus[0], &supply, &mut random);
        (0..5000).map(make).collect::<Vec<_>>()
    };
    assert_eq!(inputs(7), inputs(7));
    assert_ne!(inputs(7), inputs(8));
    assert!(inputs(9).iter().all(|input| input.len() <= 300));
    assert!(inputs(9).iter().any(|input| input.len() == 300));
}
