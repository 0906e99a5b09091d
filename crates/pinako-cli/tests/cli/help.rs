use crate::support::Place;

const COMMANDS: [&str; 17] = [
    "import",
    "export",
    "copy",
    "get",
    "explain",
    "put",
    "relayout",
    "remove",
    "labels",
    "info",
    "list",
    "verify",
    "compact",
    "vacuum",
    "calibrate",
    "bench",
    "completions",
];

#[test]
fn help_says_what_each_command_does() {
    let place = Place::new();
    insta::assert_snapshot!("help", place.ok("--help"));
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help_{command}"), place.ok(&format!("{command} --help")));
    }
    insta::assert_snapshot!("help_bench_stores", place.ok("bench stores --help"));
    insta::assert_snapshot!("help_bench_regions", place.ok("bench regions --help"));
}

#[test]
fn every_command_is_in_the_snapshots() {
    let help = Place::new().ok("-h");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let listed: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(listed, COMMANDS);
}

#[test]
fn completions_know_the_commands_in_every_shell() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.ok(&format!("completions {shell}"));
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
}

#[test]
fn the_version_is_the_crates() {
    assert_eq!(Place::new().ok("--version"), format!("pinako {}\n", env!("CARGO_PKG_VERSION")));
}
