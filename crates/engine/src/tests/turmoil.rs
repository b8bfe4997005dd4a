//! Everything at once: looks, reloads, stops with force, deletes, uploads, crashes, of plugins that need each other. Nothing may get stuck, and in the end
//! all are at work.

use std::sync::Arc;
use std::time::Duration;

use super::dependencies::{plugin, put, state};
use super::fake::{World, chat_at, install, world};
use crate::{Engine, Options, PluginState, Quarantine, Supervision};

/// Each with what it needs: a tree, a diamond, a circle that is optional.
const PLUGINS: [(&str, &[&str]); 8] = [
    ("a", &[]),
    ("b", &["a"]),
    ("c", &["a"]),
    ("d", &["b", "c ^1"]),
    ("e", &["d", "?h"]),
    ("f", &["?a"]),
    ("g", &[]),
    ("h", &["g", "?e"]),
];

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// One change; whether it works depends on the others.
async fn disturb(engine: &Arc<Engine>, world: &World, dice: &mut Dice) {
    let pick = usize::try_from(dice.roll(PLUGINS.len() as u64)).unwrap();
    let (id, needs) = PLUGINS[pick];
    let name = format!("{id}.wasm");
    let version = ["1.0.0", "1.1.0", "2.0.0"][usize::try_from(dice.roll(3)).unwrap()];
    let force = dice.roll(2) == 0;
    match dice.roll(9) {
        0 => drop(engine.sync().await),
        1 => drop(engine.reload_all().await),
        2 => drop(engine.reload(id).await),
        3 => drop(engine.stop(id, force).await),
        4 => drop(engine.start(id).await),
        5 => drop(engine.delete(id, force).await),
        6 => drop(install(engine, &name, &plugin(id, version, needs)).await),
        7 => {
            world.remove(&name);
            drop(engine.sync().await);
            world.put(&name, &plugin(id, version, needs));
        }
        _ => {
            let target = engine.find_model(id);
            for _ in 0..5 {
                if let Some(target) = &target {
                    drop(chat_at(engine, target, "trap").await);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_stuck() {
    let quarantine = Quarantine {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
        ..Quarantine::default()
    };
    let supervision = Supervision {
        restarts: u32::MAX,
        ..Supervision::default()
    };
    let world = world();
    let engine = world.engine_with(Options {
        quarantine,
        supervision,
        ..Options::default()
    });
    let disturbers: Vec<_> = (1..=6)
        .map(|seed| {
            let (engine, world) = (Arc::clone(&engine), Arc::clone(&world));
            tokio::spawn(async move {
                let mut dice = Dice(seed * 7919);
                for _ in 0..1000 {
                    disturb(&engine, &world, &mut dice).await;
                }
            })
        })
        .collect();
    let over = futures_util::future::join_all(disturbers);
    let over = tokio::time::timeout(Duration::from_secs(60), over).await;
    for disturber in over.expect("nobody waits for ever") {
        disturber.unwrap();
    }
    let all_at_work = async {
        loop {
            for (id, needs) in PLUGINS {
                put(&world, id, needs);
            }
            engine.sync().await;
            for (id, _) in PLUGINS {
                // One that an operator stopped is started; the others are at work, or will be.
                drop(engine.start(id).await);
            }
            let at_work =
                |id| engine.plugin(id).is_some() && state(&engine, id) == PluginState::Started;
            if PLUGINS.iter().all(|(id, _)| at_work(id)) {
                return;
            }
        }
    };
    let all_at_work = tokio::time::timeout(Duration::from_secs(60), all_at_work).await;
    let shown = || -> Vec<_> {
        let plugins = engine.plugins().into_iter();
        plugins
            .map(|p| (p.file, p.state, p.reason, p.last_load_error))
            .collect()
    };
    assert!(all_at_work.is_ok(), "{:#?}", shown());
    let left = engine.board.abouts();
    assert!(left.is_empty(), "still on the board: {left:?}");
    engine.shutdown(Duration::from_secs(20)).await;
    for plugin in engine.plugins() {
        assert_eq!(plugin.calls.in_flight, 0);
    }
}
