//! The pool under callers that go away, jobs that panic, and jobs that do not return.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_panic_comes_back_as_an_error_and_the_worker_lives_on() {
    let pool = Pool::new(1);
    let panicked = pool.run(|| -> u32 { panic!("boom {}", 7) }).await;
    assert_eq!(panicked, Err(JobLost::Panicked { message: "boom 7".to_owned() }));
    assert_eq!(pool.run(|| 1 + 1).await, Ok(2));
    assert_eq!(pool.threads(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_share_few_threads_and_none_is_lost() {
    let (pool, ran) = (Pool::new(2), Arc::new(AtomicUsize::new(0)));
    let calls: Vec<_> = (0..500)
        .map(|number| {
            let (pool, ran) = (pool.clone(), Arc::clone(&ran));
            tokio::spawn(async move {
                let job = move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                    number
                };
                pool.run(job).await
            })
        })
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.expect("joins"), Ok(number));
    }
    assert_eq!(ran.load(Ordering::SeqCst), 500);
}

/// A single-threaded runtime would hang here if sending blocked it.
#[tokio::test]
async fn a_full_queue_makes_callers_wait_without_blocking_the_runtime_and_dropped_jobs_never_run() {
    let pool = Pool::new(1);
    let (release, gate) = crossbeam_channel::bounded::<()>(0);
    let (begun_sender, begun) = oneshot::channel();
    let blocker = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.run(move || {
                begun_sender.send(()).ok();
                gate.recv().ok()
            })
            .await
        }
    });
    begun.await.expect("the blocker runs");
    let ran = Arc::new(AtomicUsize::new(0));
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let (pool, ran) = (pool.clone(), Arc::clone(&ran));
            tokio::spawn(async move { pool.run(move || ran.fetch_add(1, Ordering::SeqCst)).await.is_ok() })
        })
        .collect();
    while pool.queued() < 2 {
        tokio::task::yield_now().await;
    }
    for call in &waiting {
        call.abort();
    }
    for call in waiting {
        assert!(call.await.is_err_and(|error| error.is_cancelled()));
    }
    release.send(()).expect("the blocker waits");
    assert_eq!(blocker.await.expect("joins"), Ok(Some(())));
    assert_eq!(pool.run(|| 5).await, Ok(5));
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_pool_that_was_shut_down_refuses_jobs_instead_of_hanging() {
    let pool = Pool::new(2);
    pool.clone().shutdown();
    let answer = tokio::time::timeout(Duration::from_secs(10), pool.run(|| 1)).await.expect("no hang");
    assert_eq!(answer, Err(JobLost::NoThreads));
}

/// Rules under which a job is stuck soon, and the count of processes that would have ended.
fn impatient(most: usize) -> (StuckRules, Arc<AtomicUsize>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let then = {
        let ended = Arc::clone(&ended);
        Arc::new(move || {
            ended.fetch_add(1, Ordering::SeqCst);
        })
    };
    (StuckRules { limit: Duration::from_millis(100), most, then }, ended)
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("no hang")
}

async fn wait_for(pool: &Pool, stuck: usize) {
    within(async {
        while pool.stuck() != stuck {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn case_16_a_job_that_hangs_is_given_up_and_another_thread_takes_its_place() {
    let (rules, ended) = impatient(4);
    let pool = Pool::with_rules(1, rules);
    let (release, gate) = crossbeam_channel::bounded::<()>(0);
    let stuck = within(pool.run_watched(move || gate.recv().is_ok())).await;
    assert_eq!(stuck, Err(JobLost::Stuck { limit: Duration::from_millis(100) }));
    let failure = Failure::from(stuck.expect_err("stuck"));
    assert_eq!(failure.code, "decode_stuck");
    assert!(failure.message.contains("0.1 s"), "{}", failure.message);
    assert_eq!(pool.stuck(), 1);
    // The only thread hangs, and the pool works all the same.
    assert_eq!(within(pool.run_watched(|| 1 + 1)).await, Ok(2));
    // It comes back after all: nobody wants its result, and it ends instead of being one too many.
    release.send(()).expect("it hangs");
    wait_for(&pool, 0).await;
    assert_eq!(within(pool.run(|| 5)).await, Ok(5));
    assert_eq!(ended.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn case_16_a_job_that_hangs_is_replaced_even_if_its_caller_is_gone() {
    let pool = Pool::with_rules(1, impatient(4).0);
    let (release, gate) = crossbeam_channel::bounded::<()>(0);
    let (begun_sender, begun) = oneshot::channel();
    let caller = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.run_watched(move || {
                begun_sender.send(()).ok();
                gate.recv().is_ok()
            })
            .await
        }
    });
    begun.await.expect("it runs");
    caller.abort();
    assert_eq!(within(pool.run_watched(|| 7)).await, Ok(7));
    assert_eq!(pool.stuck(), 1);
    drop(release);
    wait_for(&pool, 0).await;
}

#[tokio::test]
async fn case_16_one_thread_more_than_may_hang_ends_the_process_and_not_one_less() {
    let (rules, ended) = impatient(2);
    let pool = Pool::with_rules(1, rules);
    let (release, gate) = crossbeam_channel::bounded::<()>(0);
    for hanging in 1..=3 {
        let gate = gate.clone();
        assert!(within(pool.run_watched(move || gate.recv().is_ok())).await.is_err());
        wait_for(&pool, hanging).await;
        within(async {
            while hanging > 2 && ended.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(ended.load(Ordering::SeqCst), hanging.saturating_sub(2), "{hanging} hang");
    }
    drop((gate, release));
    wait_for(&pool, 0).await;
}

#[tokio::test]
async fn a_job_that_nobody_watches_may_take_as_long_as_it_likes() {
    let pool = Pool::with_rules(2, impatient(4).0);
    let (release, gate) = crossbeam_channel::bounded::<()>(0);
    let slow = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(move || gate.recv().is_ok()).await }
    });
    // By the time that a watched one is given up it has run for longer.
    let (_held, held) = crossbeam_channel::bounded::<()>(0);
    assert!(within(pool.run_watched(move || held.recv().is_ok())).await.is_err());
    release.send(()).expect("it still runs");
    assert_eq!(slow.await.expect("joins"), Ok(true));
}

#[test]
fn a_job_is_given_up_after_as_many_looks_as_agreed_and_no_other_job_pays_for_it() {
    let desk = desk::Desk::default();
    let job = |run: Box<dyn FnOnce() + Send>| desk::Job { run, give_up: Some(Box::new(|| ())) };
    let desk = Arc::new(desk);
    let seen = Arc::clone(&desk);
    // Two short jobs, each seen twice: neither was seen three times.
    for _ in 0..2 {
        let seen = Arc::clone(&seen);
        let looks = move || assert!(seen.look(3).is_none() && seen.look(3).is_none());
        assert!(!desk.work(job(Box::new(looks))));
    }
    let looks = move || {
        assert!(seen.look(2).is_none());
        assert!(seen.look(2).is_some());
        assert!(seen.look(2).is_none(), "it is given up once");
    };
    assert!(desk.work(job(Box::new(looks))));
    assert!(desk.look(1).is_none(), "nobody works here");
}
