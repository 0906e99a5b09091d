//! Passwords that stand neither in the URL nor in the environment: libpq's file of them.
//!
//! A line is `host:port:database:user:password`, where `*` matches anything and a backslash takes the meaning from a
//! colon or a backslash; the first line that matches counts. The file counts only if nobody else can read it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::place::Host;

/// The password for a user of a database, from `file` or the one in the home folder.
///
/// # Errors
/// Says why the file was not read though it is there.
pub(super) fn find(
    file: Option<PathBuf>,
    host: &Host,
    port: u16,
    database: &str,
    user: &str,
) -> Result<Option<String>, String> {
    let Some(file) = file.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pgpass"))) else {
        return Ok(None);
    };
    let shown = file.display();
    let metadata = match fs::metadata(&file) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Err(format!("{shown} is no file")),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{shown} cannot be read: {error}")),
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!("{shown} can be read by others: chmod 600 {shown}"));
    }
    let text = fs::read_to_string(&file).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let host = match host {
        Host::Tcp(host) => host,
        Host::Unix(_) => "localhost",
    };
    Ok(text.lines().find_map(|line| matching(line, &[host, &port.to_string(), database, user])))
}

/// The password of a line whose other fields are these.
fn matching(line: &str, wanted: &[&str]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut wild = vec![true];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        // The password is the rest of the line, in which colons may stand as they are.
        let is_last = fields.len() > wanted.len();
        match character {
            ':' if !is_last => {
                fields.push(String::new());
                wild.push(true);
                continue;
            }
            '\\' => {
                fields.last_mut()?.push(characters.next().unwrap_or('\\'));
                *wild.last_mut()? = false;
            }
            other => fields.last_mut()?.push(other),
        }
    }
    let password = fields.get(wanted.len())?.clone();
    let matches = |place: usize| (wild[place] && fields[place] == "*") || fields[place] == wanted[place];
    (0..wanted.len()).all(matches).then_some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_match_by_field_and_by_star_and_take_backslashes() {
        let wanted = ["db.example", "5432", "zoo", "ann"];
        for (line, password) in [
            ("db.example:5432:zoo:ann:secret", Some("secret")),
            ("*:*:*:*:se:cr\\:et\\\\", Some("se:cr:et\\")),
            ("*:*:*:ann:", Some("")),
            ("# *:*:*:*:secret", None),
            ("db.example:5433:zoo:ann:secret", None),
            ("db.example:5432:zoo:bob:secret", None),
            ("db.example:5432:zoo:\\*:secret", None),
            ("db.example:5432:zoo", None),
            ("", None),
        ] {
            assert_eq!(matching(line, &wanted).as_deref(), password, "{line}");
        }
        assert_eq!(matching("h:1:a\\:b:c\\\\d:p", &["h", "1", "a:b", "c\\d"]).as_deref(), Some("p"));
    }

    #[test]
    fn a_file_that_others_can_read_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        let find = || find(Some(file.clone()), &Host::Unix("/run".into()), 5432, "zoo", "ann");
        assert_eq!(find(), Ok(None));
        fs::write(&file, "other:5432:*:*:wrong\nlocalhost:5432:*:*:right\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(find().unwrap_err().contains("chmod 600"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(find(), Ok(Some("right".to_owned())));
    }
}
