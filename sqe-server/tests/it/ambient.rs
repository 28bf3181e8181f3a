//! The engine has no ambient credentials.

use sqe_testkit::trap::Trap;

use crate::site::Site;

#[test]
fn with_every_ambient_credential_pointing_at_a_trap_nobody_falls_into_it() {
    let trap = Trap::set().unwrap();
    let variables = trap.variables();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let site = Site::new();
    let (mut server, uri) = site.serve(&variables);
    site.run(&uri, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t AS SELECT 1 AS a; INSERT INTO lake.s.t VALUES (2)");
    assert_eq!(site.run(&uri, "SELECT sum(a) AS s FROM lake.s.t"), "s\n3\n");
    server.signal("TERM").unwrap();
    server.wait(std::time::Duration::from_secs(30)).unwrap();
    assert_eq!(trap.calls(), 0);
    // Nor do the canaries turn up in anything that was written.
    assert!(!server.log().contains("canary"));
    let mut folders = vec![site.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
            }
        }
    }
}
