//! Plugins for tests of the plugin system: stamped out of templates with a manifest of the test's own, and told what to do.
//! `guest-examples/actors/README.md` says what each template can do. Nothing here compiles anything.

use serde_json::Value;

use crate::guests;
use crate::server::{Server, Setup};
use crate::wait::{PATIENCE, until};

/// What stands before the room for a manifest.
const MARK: &[u8] = b"WEIR-ACTOR-MANIFEST:";

/// The template's component with this manifest: `id` and `version` are needed, `does` says what it does.
///
/// # Panics
/// When the template is not built, or has less room.
#[must_use]
pub fn stamp(template: &str, manifest: &Value) -> Vec<u8> {
    let mut bytes = guests::bytes(&format!("templates/{template}.wasm"));
    let text = manifest.to_string().into_bytes();
    let mark = bytes.windows(MARK.len()).position(|w| w == MARK);
    let start = mark.unwrap_or_else(|| panic!("{template}.wasm is no template")) + MARK.len();
    let room = bytes[start..].iter().take_while(|b| **b == b' ').count();
    assert!(
        text.len() <= room,
        "a manifest of {} bytes, and room for {room}: {manifest}",
        text.len()
    );
    bytes[start..start + text.len()].copy_from_slice(&text);
    bytes
}

/// The file name (without ending) of a plugin: its id.
///
/// # Panics
/// When the manifest has none.
#[must_use]
pub fn id(manifest: &Value) -> &str {
    manifest["id"].as_str().expect("a manifest with an id")
}

impl Setup {
    /// Puts a stamped plugin into the plugins folder, as `<id>.wasm`, with these settings (TOML) beside it; empty: none.
    #[must_use]
    pub fn actor(self, template: &str, settings: &str, manifest: &Value) -> Self {
        let (name, component) = (id(manifest).to_owned(), stamp(template, manifest));
        let setup = if settings.is_empty() {
            self
        } else {
            self.file(&format!("{name}.toml"), settings.as_bytes())
        };
        setup.file(&format!("{name}.wasm"), &component)
    }
}

impl Server {
    /// Puts a guest into the folder of a running server, with the settings that lie beside it. The server finds it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn install(&self, guest: &str) {
        let path = guests::path(guest);
        let name = path.file_name().expect("a file name");
        let target = self.plugins().join(name);
        let settings = path.with_extension("toml");
        if settings.is_file() {
            std::fs::copy(settings, target.with_extension("toml")).expect("settings");
        }
        std::fs::copy(path, target).expect("a component");
    }

    /// Stops a plugin.
    ///
    /// # Panics
    /// When the server does not let it.
    pub async fn stop(&self, plugin: &str) {
        self.managed(plugin, "stop").await;
    }

    /// Starts a plugin that was stopped.
    ///
    /// # Panics
    /// As [`Server::stop`].
    pub async fn restart(&self, plugin: &str) {
        self.managed(plugin, "start").await;
    }

    /// Waits until what is shown of one plugin is as wanted.
    ///
    /// # Panics
    /// When it is not in time.
    pub async fn until_shown(&self, plugin: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/plugins/{plugin}");
        until(plugin, PATIENCE, async || {
            Some(self.get(&path).await.json()).filter(&wanted)
        })
        .await
    }

    async fn managed(&self, plugin: &str, what: &str) {
        let path = format!("/api/v1/plugins/{plugin}/{what}");
        let answer = self.call("POST", &path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }

    /// Tells an actor to do something, through its pipe: what it answers.
    ///
    /// # Panics
    /// When it does not answer with JSON.
    pub async fn tell(&self, actor: &str, order: &Value) -> Value {
        let text = self.chat(actor, &order.to_string()).await.content();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{actor}: {e}: {text}"))
    }
}
