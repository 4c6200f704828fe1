use super::parse::parse;
use crate::testing::Fixture;

async fn sh(fixture: &Fixture, script: &str) -> (u8, String, String) {
    let ran = fixture.run(&["sh", "-c", script]).await;
    let (code, stdout, stderr) = ran.text();
    (code, stdout.to_owned(), stderr.to_owned())
}

#[tokio::test(start_paused = true)]
async fn scripts_of_manifests_run() {
    let fixture = Fixture::new();
    let cases = [
        (
            "echo Hello from the postStart handler > /tmp/message; cat /tmp/message",
            0,
            "Hello from the postStart handler\n",
        ),
        ("touch /tmp/healthy; sleep 30; rm -f /tmp/healthy; test ! -e /tmp/healthy", 0, ""),
        ("nginx -s quit; while killall -0 nginx; do sleep 1; done", 0, ""),
        ("false && echo no || echo yes", 0, "yes\n"),
        ("true || echo no; echo $?", 0, "0\n"),
        ("! true; echo $?", 0, "1\n"),
        ("if [ -f /none ]; then echo a; elif test -d /tmp; then echo b; else echo c; fi", 0, "b\n"),
        (
            "for i in 1 2 3 4; do if [ $i = 2 ]; then continue; fi; if [ $i = 4 ]; then break; fi; echo $i; done",
            0,
            "1\n3\n",
        ),
        ("until test -f /tmp/flag; do touch /tmp/flag; echo waiting; done", 0, "waiting\n"),
        ("for a in x y; do for b in 1 2; do echo $a$b; break 2; done; done", 0, "x1\n"),
        ("exit 3; echo no", 3, ""),
        ("{ echo a; echo b; } && exit", 0, "a\nb\n"),
        ("cd /tmp && echo here > file && cat /tmp/file", 0, "here\n"),
        ("A='one  two'; echo $A; echo \"$A\" \"${A}!\"", 0, "one two\none  two one  two!\n"),
        ("A=1 env; B=2; env", 0, "HOME=/root\nA=1\nHOME=/root\n"),
        ("export B=2; env", 0, "HOME=/root\nB=2\n"),
        ("echo '$HOME' \"$HOME\" \\$HOME $HOME$NONE \"$NONE\" $NONE x", 0, "$HOME /root $HOME /root  x\n"),
        ("echo a > /tmp/l; echo b >> /tmp/l; cat < /tmp/l # and that was it", 0, "a\nb\n"),
        ("sh -c 'echo $0 $1 $#' name one", 0, "name one 1\n"),
        ("echo one\necho two\n\n", 0, "one\ntwo\n"),
        ("echo long \\\n line", 0, "long line\n"),
        ("cat /none 2> /tmp/err || cat /tmp/err", 0, "cat: /none: No such file or directory\n"),
        ("cat /none 2>&1", 1, "cat: /none: No such file or directory\n"),
        ("cat /none > /dev/null 2>&1; echo x >/dev/null", 0, ""),
        ("echo \"if\" then 'a;b' a=b", 0, "if then a;b a=b\n"),
        ("false", 1, ""),
        ("", 0, ""),
    ];
    for (script, code, stdout) in cases {
        let ran = sh(&fixture, script).await;
        assert_eq!((ran.0, ran.1.as_str()), (code, stdout), "{script}: {}", ran.2);
        let _ = fixture.run(&["rm", "-f", "/tmp/flag"]).await;
    }
    assert_eq!(sh(&fixture, "nothing; echo $?").await, (0, "127\n".into(), "sh: nothing: not found\n".into()));
    assert_eq!(sh(&fixture, "echo x >&2").await, (0, String::new(), "x\n".into()));
    let ran = sh(&fixture, "echo x > /none/file || echo failed").await;
    assert_eq!(ran, (0, "failed\n".into(), "sh: cannot create /none/file: No such file or directory\n".into()));
}

#[tokio::test]
async fn what_is_not_supported_is_refused_before_anything_runs() {
    let fixture = Fixture::new();
    for script in [
        "ls | cat",
        "sleep 1 &",
        "(ls)",
        "f() { ls; }",
        "echo $(ls)",
        "echo `ls`",
        "echo *",
        "case x in esac",
        "cat << X",
        "echo ${A:-x}",
        "echo $@",
        "echo $$",
        "ls 3> x",
        "ls &> x",
        "[[ a ]]",
        "cat ~/x",
        "echo $((1+1))",
        "if true; then x; fi > y",
    ] {
        let (code, stdout, stderr) = sh(&fixture, &format!("touch /tmp/ran; {script}")).await;
        assert_eq!((code, stdout.as_str()), (2, ""), "{script}");
        assert!(
            stderr.starts_with("sh: ") && stderr.contains("is not supported by this built-in shell"),
            "{script}: {stderr}"
        );
        assert_eq!(fixture.read("/tmp/ran"), None, "{script}");
    }
    for script in [
        "echo 'a",
        "echo \"a",
        "if true",
        "while true; do",
        "do",
        "true &&",
        "; ls",
        "echo ${A",
        "echo >",
        "for 1 in a; do b; done",
        "fi",
    ] {
        let (code, _, stderr) = sh(&fixture, script).await;
        assert_eq!(code, 2, "{script}");
        assert!(stderr.starts_with("sh: syntax error: "), "{script}: {stderr}");
    }
    assert_eq!(fixture.run(&["sh"]).await.code, 2);
    assert_eq!(fixture.run(&["sh", "file"]).await.code, 2);
}

#[tokio::test]
async fn shells_words_and_nesting_are_bounded() {
    let mut fixture = Fixture::new();
    fixture.env.push(("S".into(), "sh -c \"$S\"".into()));
    let (code, _, stderr) = sh(&fixture, "sh -c \"$S\"").await;
    assert_eq!(code, 2);
    assert!(stderr.contains("8 shells run in one another"), "{stderr}");
    let (code, _, stderr) = sh(&fixture, "A=0123456789; while true; do A=$A$A; done").await;
    assert_eq!((code, stderr.as_str()), (2, "sh: words or variables have more than 131072 bytes\n"));
    let (code, ..) = sh(&fixture, &"{ ".repeat(1000)).await;
    assert_eq!(code, 2);
    let (code, ..) = sh(&fixture, &"if ".repeat(1000)).await;
    assert_eq!(code, 2);
    let (code, ..) = sh(&fixture, &"x".repeat(super::MAX_SCRIPT + 1)).await;
    assert_eq!(code, 2);
}

proptest::proptest! {
    #[test]
    fn no_script_makes_the_parser_panic(script in "[ -~\n]{0,80}|([a-z$'\"`\\\\;&|<>(){}#=!\n ]|if|fi|do|done|while|then){0,40}") {
        let _ = parse(&script);
    }
}
