//! The binary as a process: what an operator and a supervisor see of it.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::key::SigningKey;
use pos_protocol::sign::POS_CONNECT;
use pos_protocol::sign::call::{CallParts, Unsigned};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_pos-server");

/// A folder with a settings file whose ports are all free ones.
struct Bed {
    root: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let bed = Self { root: tempfile::tempdir().unwrap() };
        bed.configure("");
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "data_folder = \"data\"\nlisten = \"127.0.0.1:0\"\n{more}\n[metrics]\n\
             listen = \"127.0.0.1:0\"\n"
        );
        fs::write(self.path("pos.toml"), text).unwrap();
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.root.path()).args(words.split_ascii_whitespace());
        command
    }

    fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    fn start(&self) -> Server {
        let mut process = self
            .command("serve --config pos.toml")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Ok(announced) = serde_json::from_str(&line) else {
            panic!("{line}{:?}", process.wait_with_output());
        };
        Server { process, announced, _stdout: stdout }
    }
}

struct Server {
    process: Child,
    announced: Value,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn url(&self, name: &str) -> &str {
        self.announced[name].as_str().unwrap()
    }

    fn get(&self, base: &str, path: &str) -> (u16, String) {
        let address = self.url(base).strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        read_answer(stream)
    }

    /// A sign-in of a user whom nobody knows: all of the work, and a refusal.
    fn sign_in(&self) -> (u16, String) {
        let (head, body) = self.signed_sign_in();
        let mut stream = self.connect();
        write!(stream, "{head}\r\n{body}").unwrap();
        read_answer(stream)
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.announced["authority"].as_str().unwrap()).unwrap()
    }

    fn signed_sign_in(&self) -> (String, String) {
        let key = SigningKey::from_seed(&[7; 32]);
        let body = json!({
            "user_id": "usr_01m83readx0nqna3hrmavwfke6",
            "password": "correct horse battery staple",
            "key": key.public(),
        });
        let body = body.to_string();
        let authority = self.announced["authority"].as_str().unwrap();
        let parts = CallParts {
            method: "POST",
            authority,
            path: "/v1/sessions",
            query: "",
            body: body.as_bytes(),
            idempotency_key: None,
        };
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let now = Timestamp::from_secs(since.as_secs());
        let until = now.plus(Duration::from_secs(60));
        let unsigned = Unsigned::new(&POS_CONNECT, &parts, now, until, key.public().id()).unwrap();
        let signature = key.sign(unsigned.base());
        let signed = unsigned.into_headers(&signature);
        let head = format!(
            "POST /v1/sessions HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\
             content-type: application/json\r\ncontent-digest: {}\r\nsignature-input: {}\r\n\
             signature: {}\r\n",
            body.len(),
            signed.content_digest.unwrap(),
            signed.signature_input,
            signed.signature
        );
        (head, body)
    }

    /// Kibibytes of memory that the process occupies.
    fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most that it has occupied so far.
    fn most_resident_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// A line of proc_pid_status(5).
    fn status_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Ends the server as a supervisor does; answers its exit code and its log.
    fn end(mut self) -> (Option<i32>, Vec<Value>) {
        self.signal("-TERM");
        let mut log = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (self.process.wait().unwrap().code(), lines)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // For a test that failed; an ended process takes no harm.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read_answer(mut stream: TcpStream) -> (u16, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap()
}

#[test]
fn a_server_announces_itself_answers_and_ends_in_order() {
    let bed = Bed::new();
    let server = bed.start();
    assert_eq!(server.announced["event"], "listening");
    assert_eq!(server.announced["tls_url"], Value::Null);
    let authority = server.url("url").strip_prefix("http://").unwrap();
    assert_eq!(server.announced["authority"], authority);
    assert_eq!(server.announced["answer_key"]["crv"], "Ed25519");
    assert!(Path::new(server.url("admin_socket")).is_absolute());
    assert!(bed.path("data/admin.sock").exists());

    assert_eq!(server.get("url", "/healthz"), (200, r#"{"status":"alive"}"#.into()));
    assert_eq!(server.get("url", "/readyz"), (200, r#"{"status":"ready"}"#.into()));
    // Metrics have a listener of their own: here it is a path like any other that nobody signed.
    let (status, refused) = server.get("url", "/metrics");
    assert_eq!(status, 401, "{refused}");
    assert!(refused.contains(r#""code":"signature_missing""#), "{refused}");
    let (status, metrics) = server.get("metrics_url", "/metrics");
    assert_eq!(status, 200);
    let counted = r#"pos_requests_total{route="/readyz",method="GET",status="200"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    let unknown = r#"pos_requests_total{route="unknown",method="GET",status="401"} 1"#;
    assert!(metrics.contains(unknown), "{metrics}");

    assert_eq!(server.sign_in().0, 401);
    let (code, log) = server.end();
    assert_eq!(code, Some(0));
    assert_eq!(log.first().unwrap()["message"], "listening");
    assert_eq!(log.last().unwrap()["message"], "ended");
    let refused = log.iter().find(|line| line["status"] == 401).unwrap();
    assert!(refused["request_id"].as_str().unwrap().starts_with("req_"), "{refused}");
    assert_eq!(refused["code"], "signature_missing");
    assert_eq!(refused["key_id"], Value::Null);
    let refused = log.iter().find(|line| line["code"] == "credential_refused").unwrap();
    let key = SigningKey::from_seed(&[7; 32]).public().id();
    assert_eq!(refused["key_id"], key.to_string());
    assert!(!bed.path("data/admin.sock").exists());
}

#[test]
fn a_second_server_is_refused_and_says_who_is_there() {
    let bed = Bed::new();
    let server = bed.start();
    let second = bed.run("serve --config pos.toml");
    assert_eq!(second.status.code(), Some(1));
    let expected = format!("by the server with process id {}", server.process.id());
    assert!(text(&second.stderr).contains(&expected), "{}", text(&second.stderr));
    assert_eq!(text(&second.stdout), "");
}

#[test]
fn a_killed_server_leaves_nothing_in_the_way_of_the_next() {
    let bed = Bed::new();
    let first = bed.start();
    let key = first.announced["answer_key"].clone();
    first.signal("-KILL");
    drop(first);
    assert!(bed.path("data/admin.sock").exists());
    let second = bed.start();
    assert_eq!(second.announced["answer_key"], key);
    assert_eq!(second.get("url", "/readyz").0, 200);
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn commands_work_before_the_first_start_and_beside_a_server() {
    let bed = Bed::new();
    let list = "--config pos.toml --json institution list";
    let before = bed.run(list);
    let server = bed.start();
    let beside = bed.run(list);
    assert_eq!(server.end().0, Some(0));
    let after = bed.run(list);
    for output in [&before, &beside, &after] {
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(reply["answer"].is_string() || reply["error"]["kind"].is_string(), "{reply}");
        assert_eq!(output.status.success(), reply["answer"].is_string());
        assert_eq!(text(&output.stdout), text(&before.stdout));
        assert_eq!(text(&output.stderr), text(&before.stderr));
    }
}

#[test]
fn no_configuration_is_enough_for_a_command() {
    let bed = Bed::new();
    bed.run("task list");
    assert!(bed.path("pos-data/answer-key.pem").exists());
    bed.run("--data-folder elsewhere task list");
    assert!(bed.path("elsewhere/answer-key.pem").exists());
}

#[test]
fn refused_settings_end_with_code_2_and_the_line() {
    let bed = Bed::new();
    bed.configure("no_such = 1");
    for words in ["serve --config pos.toml", "check-config --config pos.toml"] {
        let refused = bed.run(words);
        assert_eq!(refused.status.code(), Some(2), "{words}");
        assert!(text(&refused.stderr).starts_with("pos.toml:3: no_such: unknown field"), "{words}");
    }
    fs::write(bed.path("pos.toml"), "listen = \"0.0.0.0:8443\"\n").unwrap();
    let refused = bed.run("serve --config pos.toml");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("spoken on loopback only: write certificate and key"));
    assert!(!bed.path("pos-data").exists(), "nothing is made before the settings are good");
}

#[test]
fn check_config_looks_at_the_files_too() {
    let bed = Bed::new();
    assert_eq!(text(&bed.run("check-config --config pos.toml").stdout), "the settings are good\n");
    fs::write(bed.path("default.toml"), bed.run("config").stdout).unwrap();
    assert!(bed.run("check-config --config default.toml").status.success());

    bed.configure(
        "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n[keys]\nanswer_key = \"mine.pem\"",
    );
    let refused = bed.run("check-config --config pos.toml");
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.contains("pos.toml:4: tls.certificate: cert.pem cannot be read"), "{said}");
    assert!(said.contains("pos.toml:7: keys.answer_key: data/mine.pem cannot be read"), "{said}");
    let mail = "[mail]\nserver = \"localhost:465\"\nfrom = \"pos@example.jp\"\nca = \"ca.pem\"";
    bed.configure(mail);
    let said = bed.run("check-config --config pos.toml").stderr;
    assert!(text(&said).contains("pos.toml:6: mail.ca: mail.ca names a file"), "{}", text(&said));
    bed.configure(&mail.replace("\nca = \"ca.pem\"", ""));
    assert!(bed.run("check-config --config pos.toml").status.success());
    assert!(!bed.path("data").exists());
}

#[test]
fn one_server_speaks_plain_on_loopback_and_tls_beside_it() {
    let bed = Bed::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(bed.path("cert.pem"), made.cert.pem()).unwrap();
    fs::write(bed.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let tls = "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"";
    bed.configure(&format!("tls_listen = \"127.0.0.1:0\"\nauthority = \"pay.example.jp\"\n{tls}"));
    let server = bed.start();
    assert!(server.url("url").starts_with("http://127.0.0.1:"));
    assert!(server.url("tls_url").starts_with("https://127.0.0.1:"));
    assert_eq!(server.announced["authority"], "pay.example.jp");
    assert_eq!(server.get("url", "/readyz").0, 200);
    assert_eq!(server.end().0, Some(0));

    bed.configure(tls);
    let server = bed.start();
    assert_eq!(server.url("url"), server.url("tls_url"));
    assert!(server.url("url").starts_with("https://127.0.0.1:"));
}

#[test]
fn what_others_can_read_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = Bed::new();
    bed.run("--config pos.toml task list");
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = bed.run("serve --config pos.toml");
        assert_eq!(refused.status.code(), Some(1));
        text(&refused.stderr).to_owned()
    };
    let said = open(&bed.path("data/answer-key.pem"), 0o644);
    assert!(said.contains("run `chmod 600 data/answer-key.pem`"), "{said}");
    let said = open(&bed.path("data"), 0o755);
    assert!(said.contains("run `chmod 700 data`"), "{said}");
}

#[test]
fn a_server_that_hashed_passwords_gives_the_memory_back() {
    let bed = Bed::new();
    let server = bed.start();
    let before = server.resident_kib();
    // Two at once, as many as are hashed at once.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let (status, refused) = server.sign_in();
                    assert_eq!(status, 401, "{refused}");
                    assert!(refused.contains(r#""code":"credential_refused""#), "{refused}");
                }
            });
        }
    });
    let most = server.most_resident_kib();
    assert!(most > before + 19 * 1024, "hashes take their memory: {before} KiB became {most} KiB");
    // It goes back a moment after the last of them, and nothing tells of it: this looks, for 10 s.
    let looks = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(100));
        server.resident_kib()
    });
    let after = looks.take(100).find(|kib| *kib < 30 * 1024);
    assert!(after.is_some(), "{before} KiB stay at {} KiB", server.resident_kib());
}

#[test]
fn a_body_that_trickles_in_takes_no_place_from_others() {
    let bed = Bed::new();
    bed.configure("[limits]\nin_flight = 1\nbody_seconds = 1");
    let server = bed.start();
    let (head, body) = server.signed_sign_in();
    let mut slow = server.connect();
    write!(slow, "{head}expect: 100-continue\r\n\r\n{}", &body[..10]).unwrap();
    // The server says so as it begins to read the body.
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).unwrap();
    assert_eq!(text(&go_on), "HTTP/1.1 100 Continue\r\n\r\n");
    let (status, refused) = server.sign_in();
    assert_eq!(status, 401, "{refused}");
    let (status, refused) = read_answer(slow);
    assert_eq!(status, 408, "{refused}");
    assert!(refused.contains(r#""code":"body_too_slow""#), "{refused}");
    assert!(refused.contains(r#""retry":"same_key""#), "{refused}");
}

#[test]
fn open_routes_are_not_to_be_kept_and_refuse_as_all_others_do() {
    let bed = Bed::new();
    let server = bed.start();
    for path in ["/v1/answer-keys", "/v1/openapi.json"] {
        let mut answers = Vec::new();
        for method in ["GET", "DELETE"] {
            let mut stream = server.connect();
            write!(stream, "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
            answers.push(answer);
        }
        assert!(answers[0].starts_with("HTTP/1.1 200 "), "{}", answers[0]);
        assert!(answers[1].starts_with("HTTP/1.1 405 "), "{}", answers[1]);
        let (_, body) = answers[1].split_once("\r\n\r\n").unwrap();
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "method_not_allowed");
        assert!(problem["request_id"].as_str().unwrap().starts_with("req_"));
    }
}

/// What a browser asks before it lets a page call, and what it needs to let the page read (Fetch
/// standard, CORS protocol).
#[test]
fn pages_of_any_origin_may_call_and_read_every_answer() {
    let bed = Bed::new();
    let server = bed.start();
    let ask = |method: &str, path: &str| {
        let mut stream = server.connect();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: a\r\norigin: https://shop.example\r\n\
             connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for path in ["/v1/payments", "/v1/answer-keys", "/v1/no-such-route"] {
        let answer = ask("OPTIONS", path);
        assert!(answer.starts_with("HTTP/1.1 204 "), "{path}: {answer}");
        for header in [
            "access-control-allow-origin: *\r\n",
            "access-control-allow-methods: GET, POST\r\n",
            "access-control-allow-headers: content-type, content-digest, idempotency-key, \
             signature, signature-input\r\n",
            "access-control-max-age: 7200\r\n",
        ] {
            assert!(answer.contains(header), "{path}: {answer}");
        }
    }
    for (method, path, status) in [
        ("GET", "/v1/payments", "401"),
        ("GET", "/v1/no-such-route", "401"),
        ("PUT", "/v1/payments", "401"),
        ("GET", "/v1/answer-keys", "200"),
        ("PUT", "/v1/answer-keys", "405"),
    ] {
        let answer = ask(method, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        for header in [
            "access-control-allow-origin: *\r\n",
            "access-control-expose-headers: content-digest, signature, signature-input\r\n",
        ] {
            assert!(answer.contains(header), "{method} {path}: {answer}");
        }
    }
}

#[test]
fn calls_are_answered_by_as_many_threads_as_configured() {
    let bed = Bed::new();
    bed.configure("[limits]\nthreads = 40");
    let server = bed.start();
    let tasks = fs::read_dir(format!("/proc/{}/task", server.process.id())).unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    let answering = names.filter(|name| name.starts_with("tokio-rt-worker")).count();
    // The same name is borne by the few threads that wait for the disk.
    assert!((40..60).contains(&answering), "{answering}");
}

#[test]
fn a_conformance_check_keeps_no_server_from_starting() {
    let bed = Bed::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let key = "q3KqCxbJQUYjewzgz5v_-IM6J-j3-iiAC8Md1fzqCQI";
    let words = format!(
        "--config pos.toml institution check {url} --verify-key {key} --seal-root {key} \
         --contract 4980012345"
    );
    let mut check = bed.command(&words).stdout(Stdio::null()).spawn().unwrap();
    let (_held, _) = silent.accept().unwrap();
    let server = bed.start();
    let still_waits = check.try_wait().unwrap().is_none();
    check.kill().unwrap();
    check.wait().unwrap();
    assert!(still_waits, "the check had ended before the server started");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_server_that_does_not_start_says_why_to_the_last_cause() {
    let bed = Bed::new();
    assert!(bed.run("--config pos.toml task list").status.success());
    for name in ["pos.sqlite3-wal", "pos.sqlite3-shm"] {
        let _ = fs::remove_file(bed.path("data").join(name));
    }
    fs::write(bed.path("data/pos.sqlite3"), vec![b'x'; 8192]).unwrap();
    for words in ["serve --config pos.toml", "--config pos.toml task list"] {
        let refused = bed.run(words);
        assert_eq!(refused.status.code(), Some(1), "{words}");
        let said = text(&refused.stderr);
        assert!(said.contains("pos.sqlite3") && said.contains("file is not a database"), "{said}");
    }
    fs::remove_file(bed.path("data/pos.sqlite3")).unwrap();
    let refused = bed.run("serve --config pos.toml");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("is missing, and these keys have had one"));
    assert!(!bed.path("data/pos.sqlite3").exists());
}
