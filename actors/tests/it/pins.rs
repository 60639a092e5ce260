//! What the pipeline relies on in actix, pinned: these behaviours are documented nowhere but in its source.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use actix::{Actor, ActorContext, Arbiter, AsyncContext, Context, Handler, Message, System};

struct Probe {
    handled: Arc<AtomicUsize>,
    _guard: Guard,
}

/// Stands for the ExitGuard: tells of its drop.
struct Guard(mpsc::Sender<&'static str>, &'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

#[derive(Message)]
#[rtype(result = "usize")]
struct Count;

#[derive(Message)]
#[rtype(result = "()")]
struct Explode;

#[derive(Message)]
#[rtype(result = "()")]
struct End;

impl Actor for Probe {
    type Context = Context<Self>;
}

impl Handler<Count> for Probe {
    type Result = usize;
    fn handle(&mut self, _: Count, _: &mut Self::Context) -> usize {
        self.handled.fetch_add(1, Ordering::SeqCst) + 1
    }
}

impl Handler<Explode> for Probe {
    type Result = ();
    fn handle(&mut self, _: Explode, _: &mut Self::Context) {
        panic!("on purpose");
    }
}

impl Handler<End> for Probe {
    type Result = ();
    fn handle(&mut self, _: End, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

fn probe(sender: &mpsc::Sender<&'static str>, name: &'static str) -> Probe {
    Probe { handled: Arc::default(), _guard: Guard(sender.clone(), name) }
}

#[test]
fn a_panic_kills_one_actor_drops_its_guard_and_leaves_its_arbiter_alive() {
    let (sender, receiver) = mpsc::channel();
    System::new().block_on(async {
        let arbiter = Arbiter::new();
        let (one, two) = (sender.clone(), sender.clone());
        let victim = Probe::start_in_arbiter(&arbiter.handle(), move |_| probe(&one, "victim"));
        let bystander = Probe::start_in_arbiter(&arbiter.handle(), move |_| probe(&two, "bystander"));
        assert!(victim.send(Explode).await.is_err());
        assert_eq!(bystander.send(Count).await, Ok(1), "the arbiter goes on");
        assert!(!victim.connected());
        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Ok("victim"));
        assert!(receiver.try_recv().is_err());
    });
}

#[test]
fn stop_drops_the_actor_and_with_it_the_guard() {
    let (sender, receiver) = mpsc::channel();
    System::new().block_on(async {
        let actor = probe(&sender, "stopped").start();
        actor.send(End).await.expect("alive");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while receiver.try_recv().is_err() {
            assert!(tokio::time::Instant::now() < deadline, "the guard was never dropped");
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_mailbox_bounds_nothing_for_do_send() {
    let (sender, _receiver) = mpsc::channel();
    System::new().block_on(async {
        let actor = Probe::create(|ctx: &mut Context<Probe>| {
            ctx.set_mailbox_capacity(1);
            probe(&sender, "flooded")
        });
        for _ in 0..1_000 {
            actor.do_send(Count);
        }
        assert_eq!(actor.send(Count).await, Ok(1_001), "every message was queued");
    });
}

#[test]
fn timers_of_an_actor_run_on_paused_time() {
    struct Timer(Option<tokio::sync::oneshot::Sender<()>>);
    impl Actor for Timer {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            ctx.run_later(Duration::from_secs(3_600), |actor, _| {
                if let Some(sender) = actor.0.take() {
                    let _ = sender.send(());
                }
            });
        }
    }
    System::new().block_on(async {
        tokio::time::pause();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let _timer = Timer(Some(sender)).start();
        receiver.await.expect("an hour passes at once");
    });
}
