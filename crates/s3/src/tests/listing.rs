//! Listings: complete, decoded, or an error.

use connector_core::ports::ObjectSource;
use connector_core::spec::Access;

use super::server::{Answer, Server};
use super::world::{connect, entry, expect, listing, listing_body, spec, with_keys};

#[tokio::test]
async fn case_44_pages_follow_each_other_and_keys_are_decoded_exactly() {
    let long = "k".repeat(1000);
    let first = ["a+b", "a%2Bb", "100%25", "%E2%82%AC/%F0%9F%A6%80", "new%0Aline", "%2Flead%2F%2F..", &long];
    let token = "1+token/with%2B==";
    let server =
        Server::sequence(vec![listing(&first.map(entry), Some(token)), listing(&[entry("z&amp;&lt;&apos;")], None)])
            .await;
    let bucket = with_keys(&server).connection.bucket("bkt");

    let page = bucket.list_page("pre fix/", None).await.expect("lists");
    let keys: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["a b", "a+b", "100%", "€/🦀", "new\nline", "/lead//..", &long]);
    let object = &page.objects[0];
    assert_eq!((object.etag.as_str(), object.size, object.storage_class.as_deref()), ("e-1", 42, None));
    assert_eq!(object.last_modified.to_string(), "2026-02-03T04:05:06Z");
    assert_eq!(page.next.as_deref(), Some(token), "a continuation token is never decoded");

    let last = bucket.list_page("pre fix/", page.next.as_deref()).await.expect("lists");
    assert_eq!((last.objects[0].key.as_str(), last.next), ("z&<'", None));

    let requests = server.requests();
    for part in ["/bkt", "list-type=2", "encoding-type=url", "max-keys=1000", "prefix=pre%20fix%2F"] {
        assert!(requests[0].target.contains(part), "{part} in {}", requests[0].target);
    }
    assert!(requests[1].target.contains("continuation-token=1%2Btoken%2Fwith%252B%3D%3D"), "{}", requests[1].target);
    assert!(requests[0].header("authorization").is_some_and(|value| value.contains("AKIASTATIC")));
    assert_eq!(requests[0].header("x-amz-request-payer"), None);
}

#[tokio::test]
async fn case_44_keys_are_left_alone_unless_the_answer_says_that_they_are_encoded() {
    let body = listing_body(&[entry("a+b%2B")], None).replace("<EncodingType>url</EncodingType>", "");
    let server = Server::sequence(vec![Answer::xml("200 OK", &[], &body)]).await;
    let page = with_keys(&server).connection.bucket("bkt").list_page("", None).await.expect("lists");
    assert_eq!(page.objects[0].key, "a+b%2B");
}

#[tokio::test]
async fn case_48_requester_pays_and_anonymous_show_in_the_headers() {
    let server = Server::sequence(vec![listing(&[], None)]).await;
    let mut open = spec(&server, Access::Anonymous);
    open.requester_pays = true;
    let page = connect(&open).connection.bucket("bkt").list_page("", None).await.expect("lists");
    assert!(page.objects.is_empty() && page.next.is_none());
    let request = &server.requests()[0];
    assert_eq!(request.header("x-amz-request-payer"), Some("requester"));
    assert_eq!(request.header("authorization"), None, "{request:?}");
    assert_eq!(request.header("x-amz-security-token"), None);
}

#[tokio::test]
async fn storage_classes_are_kept_unless_standard() {
    let archived = entry("a").replace("STANDARD", "DEEP_ARCHIVE");
    let server = Server::sequence(vec![listing(&[archived], None)]).await;
    let page = with_keys(&server).connection.bucket("bkt").list_page("", None).await.expect("lists");
    assert_eq!(page.objects[0].storage_class.as_deref(), Some("DEEP_ARCHIVE"));
}

#[tokio::test]
async fn case_46_an_archived_object_is_readable_once_its_restore_is_complete() {
    let restore = |key: &str, progress: &str| {
        let status = format!("<RestoreStatus>{progress}</RestoreStatus></Contents>");
        entry(key).replace("STANDARD", "GLACIER").replace("</Contents>", &status)
    };
    let entries = [
        restore(
            "done",
            "<IsRestoreInProgress>false</IsRestoreInProgress>\
                         <RestoreExpiryDate>2026-03-01T00:00:00.000Z</RestoreExpiryDate>",
        ),
        restore("going", "<IsRestoreInProgress>true</IsRestoreInProgress>"),
        restore("unsaid", ""),
        entry("never").replace("STANDARD", "GLACIER"),
    ];
    let server = Server::sequence(vec![listing(&entries, None)]).await;
    let page = with_keys(&server).connection.bucket("bkt").list_page("", None).await.expect("lists");
    let classes: Vec<_> = page.objects.iter().map(|object| object.storage_class.as_deref()).collect();
    assert_eq!(classes, [None, Some("GLACIER"), Some("GLACIER"), Some("GLACIER")]);
    let request = &server.requests()[0];
    assert_eq!(request.header("x-amz-optional-object-attributes"), Some("RestoreStatus"));
}

#[tokio::test]
async fn case_57_weak_etags_are_listed_without_their_mark() {
    let weak = entry("a").replace("&quot;e-1", "W/&quot;e-1");
    let server = Server::sequence(vec![listing(&[weak], None)]).await;
    let page = with_keys(&server).connection.bucket("bkt").list_page("", None).await.expect("lists");
    assert_eq!(page.objects[0].etag, "e-1");
}

#[tokio::test]
async fn case_59_what_is_no_whole_listing_is_an_error_and_never_an_empty_bucket() {
    let good = listing_body(&[entry("a"), entry("b")], None);
    let cut = &good[..good.find("<Key>b").expect("there")];
    let portal = "<html><body><h1>Log in to the hotel's network</h1></body></html>";
    let without = |element: &str| {
        let (from, to) = (good.find(&format!("<{element}>")), good.find(&format!("</{element}>")));
        let (from, to) = (from.expect("there"), to.expect("there") + element.len() + 3);
        format!("{}{}", &good[..from], &good[to..])
    };
    let cases: Vec<(Answer, &str)> = vec![
        (Answer::new("200 OK", &[("content-type", "text/html")], portal), "proxy or a login page"),
        (Answer::new("200 OK", &[], "<!DOCTYPE html><br>hello"), "proxy or a login page"),
        (Answer::new("200 OK", &[], ""), "proxy or a login page"),
        (Answer::new("200 OK", &[], "<ListBucketResult></ListBucketResult>"), "IsTruncated is missing"),
        (Answer::until_close("200 OK", cut), "does not end"),
        (Answer::new("200 OK", &[], cut), "does not end"),
        (Answer::new("200 OK", &[], good.replace("<KeyCount>2", "<KeyCount>3")), "KeyCount"),
        (Answer::new("200 OK", &[], without("Key")), "a Key is missing"),
        (Answer::new("200 OK", &[], without("Size")), "Size of a is missing"),
        (Answer::new("200 OK", &[], without("ETag")), "ETag of a is missing"),
        (Answer::new("200 OK", &[], without("LastModified")), "LastModified of a is missing"),
        (Answer::new("200 OK", &[], good.replace("<Size>42", "<Size>-1")), "Size of a is missing"),
        (Answer::new("200 OK", &[], good.replace("<Key>a", "<Key>a%Z")), "badly encoded"),
        (Answer::new("200 OK", &[], good.replace("ted>false", "ted>true")), "without a continuation token"),
    ];
    for (answer, part) in cases {
        let server = Server::sequence(vec![answer]).await;
        let world = with_keys(&server);
        let error = world.connection.bucket("bkt").list("", None, 1000).await.expect_err(part);
        expect(&error, "transient not_s3", &[part, "5 times", "s3://bkt/"]);
        assert_eq!(server.requests().len(), 5, "{part}");
    }
}

#[tokio::test]
async fn case_42_a_token_that_leads_in_a_circle_is_an_error() {
    let server = Server::sequence(vec![listing(&[entry("a")], Some("t"))]).await;
    let bucket = with_keys(&server).connection.bucket("bkt");
    let error = bucket.list("", Some("t"), 1000).await.expect_err("a circle");
    expect(&error, "transient not_s3", &["same page"]);
}

#[tokio::test]
async fn a_key_that_is_not_utf8_stops_the_listing_with_its_name() {
    let server = Server::sequence(vec![listing(&[entry("caf%E9.csv")], None)]).await;
    let error = with_keys(&server).connection.bucket("bkt").list("", None, 1000).await.expect_err("not UTF-8");
    expect(&error, "config key_not_utf8", &["caf%E9.csv", "bkt"]);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn case_42_a_lost_connection_is_tried_again_and_loses_no_key() {
    let whole = listing(&[entry("a"), entry("b")], None);
    let mut broken = whole.clone();
    broken.bytes.truncate(broken.bytes.len() - 100);
    let server = Server::sequence(vec![Answer::nothing(), broken, whole]).await;
    let world = with_keys(&server);
    let page = world.connection.bucket("bkt").list_page("", None).await.expect("lists in the end");
    assert_eq!(page.objects.len(), 2);
    assert_eq!((server.requests().len(), world.waiting.pauses()), (3, 2));
}

#[tokio::test]
async fn a_probe_asks_for_one_key() {
    let server = Server::sequence(vec![listing(&[entry("in/a")], Some("t")), listing(&[], None)]).await;
    let connection = with_keys(&server).connection;
    let found = connection.probe("bkt", "in/").await.expect("lists").expect("a key");
    assert_eq!(found.key, "in/a");
    assert_eq!(connection.probe("bkt", "in/").await, Ok(None));
    assert!(server.requests()[0].target.contains("max-keys=1&"), "{}", server.requests()[0].target);
}
