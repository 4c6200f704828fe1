//! What comes before what.

use crate::world::{ROOMY, World, becomes, one_container, pod, status_words, told};

#[tokio::test(start_paused = true)]
async fn init_containers_then_sidecars_then_apps_and_back() {
    let world = World::new();
    let manifest = pod("restartPolicy: Never, \
         initContainers: [{name: prepare, image: 'file:app.wasm', command: [app, write ready]}, \
                          {name: proxy, image: 'file:app.wasm', restartPolicy: Always, command: [app, wait]}], \
         containers: [{name: web, image: 'file:app.wasm', command: [app, write hello]}]");
    let (pod, mut queue) = world.start(&manifest, ROOMY);
    let status = pod.finished().await;
    assert_eq!(status_words(&status), "Succeeded prepare=exit 0 proxy=exit 143 web=exit 0");
    let told = told(&mut queue).await;
    let steps: Vec<&str> = told
        .iter()
        .map(String::as_str)
        .filter(|words| words.starts_with("log") || words.starts_with("event Started") || words.contains("Killing"))
        .collect();
    let place =
        |step: &str| steps.iter().position(|words| *words == step).unwrap_or_else(|| panic!("{step}: {told:#?}"));
    assert!(place("log prepare ready") < place("event Started proxy"));
    assert!(place("event Started prepare") < place("event Started proxy"));
    assert!(place("event Started proxy") < place("event Started web"));
    assert!(place("log web hello") < place("event Killing proxy"));
    assert_eq!(steps.len(), 6, "{steps:#?}");
    assert_eq!(told.last().unwrap(), "status Succeeded prepare=exit 0 proxy=exit 143 web=exit 0");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn the_log_comes_before_the_status_that_shows_the_end() {
    let world = World::new();
    let (_pod, mut queue) = world.start(&one_container("command: [app, flood 1000, exit 3]"), 1);
    let told = told(&mut queue).await;
    let end = told.iter().position(|words| words.ends_with("app=exit 3")).unwrap();
    let lines: Vec<_> = told[..end].iter().filter_map(|words| words.strip_prefix("log app ")).collect();
    let expected: Vec<_> = (0..1000).map(|line| line.to_string()).collect();
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn images_are_kept_while_the_pod_lives() {
    let world = World::new();
    let (pod, _queue) = world.start(&one_container("command: [app, wait]"), ROOMY);
    becomes(&pod, |status| status.phase.as_deref() == Some("Running")).await;
    assert!(world.node.images().list().unwrap()[0].in_use);
    pod.delete(None);
    pod.finished().await;
    world.assert_clean();
}
