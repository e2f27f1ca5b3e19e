//! What is served, and to whom.

use super::*;

#[test]
fn serves_the_page() {
    let html = include_str!("../../../page/index.html");
    let expected = format!(
        "HTTP/1.1 200 OK\r\n\
         Connection: close\r\n\
         Cache-Control: no-cache\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
         img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         \r\n",
        html.len()
    );
    let whole = format!("{expected}{html}");
    assert_eq!(text(answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n")), whole);
    assert_eq!(text(answer("GET /?a=/b HTTP/1.1\r\nHost:\r\n\r\n")), whole);
    assert_eq!(text(answer("GET / HTTP/1.0\r\n\r\n")), whole);
    let absolute = "GET HTTPS://a:1?q HTTP/1.1\r\nHost: a:1\r\n\r\n";
    assert_eq!(text(answer(absolute)), whole);
    let head = "HEAD / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n";
    assert_eq!(text(answer(head)), expected);
    // Whether there is room for a session does not matter.
    let full = answer_at("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Gate::Full);
    assert_eq!(text(full), whole);
}

#[test]
fn serves_what_the_page_needs() {
    for (path, media_type, file) in [
        (
            "/app.js",
            "text/javascript",
            include_str!("../../../page/app.js"),
        ),
        (
            "/style.css",
            "text/css",
            include_str!("../../../page/style.css"),
        ),
        (
            "/icon.svg",
            "image/svg+xml",
            include_str!("../../../page/icon.svg"),
        ),
    ] {
        let text = text(answer(&format!(
            "GET {path}?v=1 HTTP/1.1\r\nHost: a\r\n\r\n"
        )));
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"));
        let end = format!(
            "\r\nContent-Type: {media_type}; charset=utf-8\r\nContent-Length: {}\r\n\r\n{file}",
            file.len()
        );
        assert!(text.ends_with(&end), "{text}");
    }
}

#[test]
fn has_no_icon_of_the_old_kind_and_says_so() {
    let expected = "HTTP/1.1 204 No Content\r\n\
        Connection: close\r\n\
        Cache-Control: max-age=86400\r\n\
        \r\n";
    for method in ["GET", "HEAD"] {
        let request = format!("{method} /favicon.ico HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(text(answer(&request)), expected);
    }
}

#[test]
fn says_how_it_is() {
    let expected = "HTTP/1.1 200 OK\r\n\
        Connection: close\r\n\
        Cache-Control: no-store\r\n\
        X-Content-Type-Options: nosniff\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Length: 3\r\n\
        \r\n";
    let get = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = get.replace("GET", "HEAD");
    for gate in [Gate::Open, Gate::Full] {
        let whole = format!("{expected}ok\n");
        assert_eq!(text(answer_at(get, gate)), whole);
        assert_eq!(
            text(answer_at("GET /healthz?x HTTP/1.0\r\n\r\n", gate)),
            whole
        );
        assert_eq!(text(answer_at(&head, gate)), expected);
    }
    assert_answered_at(get, Gate::ShuttingDown, Refusal::ShuttingDown);
    let refused = text(answer_at(&head, Gate::ShuttingDown));
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.ends_with("\r\n\r\n"));
    assert_answered(&get.replace("GET", "POST"), Refusal::Method);
    // A WebSocket may come up at any path, this one too.
    let upgrade = UPGRADE.replace("/any/path?at=all", "/healthz");
    let upgrade = answer(&upgrade).unwrap();
    assert!(matches!(upgrade, Answer::Upgrade { .. }), "{upgrade:?}");
}

/// The first line stays what it is for who looks at that alone.
#[test]
fn says_how_it_is_linked() {
    let (head, _) = parse_head(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap()
        .unwrap();
    let health = Health::new(true);
    let says = |lines: &str| {
        let answer = text(Ok(respond(&head, Gate::Open, &health)));
        assert!(answer.ends_with(&format!("\r\n\r\n{lines}")), "{answer}");
    };
    says("ok\nlinks=0 upstream=0 hops=0\n");
    health.note(&mles_sansio::Stats {
        links: 3,
        upstreams: 1,
        hops: 2,
        ..mles_sansio::Stats::default()
    });
    says("ok\nlinks=3 upstream=1 hops=2\n");
}

#[test]
fn serves_metrics_and_nothing_else_on_their_port() {
    let at = |request: &str| {
        let (head, _) = parse_head(request.as_bytes()).unwrap().unwrap();
        text(Ok(respond_with_metrics(&head, || "a 1\n".to_owned())))
    };
    let expected = "HTTP/1.1 200 OK\r\n\
        Connection: close\r\n\
        Cache-Control: no-store\r\n\
        X-Content-Type-Options: nosniff\r\n\
        Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
        Content-Length: 4\r\n\
        \r\n";
    let get = "GET /metrics?a=b HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(at(get), format!("{expected}a 1\n"));
    assert_eq!(at(&get.replace("GET", "HEAD")), expected);
    let refused = |refusal: Refusal| String::from_utf8(refusal.response()).unwrap();
    assert_eq!(at(&get.replace("GET", "POST")), refused(Refusal::Method));
    for path in ["/", "/healthz", "/metrics/", "/app.js"] {
        let other = get.replace("/metrics", path);
        assert_eq!(at(&other), refused(Refusal::OnlyMetrics), "{path}");
    }
    let upgrade = UPGRADE.replace("/any/path", "/");
    assert_eq!(at(&upgrade), refused(Refusal::OnlyMetrics));
    // And they are nowhere else.
    assert_answered(get, Refusal::NotFound);
}

#[test]
fn rejects_other_methods() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "DELETE /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
        "TRACE / HTTP/1.0\r\n\r\n",
    ] {
        assert_answered(request, Refusal::Method);
    }
    assert_answered(&UPGRADE.replace("GET", "POST"), Refusal::Method);
}

#[test]
fn rejects_unknown_paths() {
    for path in [
        "/nothing",
        "/index.html",
        "//",
        "/../app.js",
        "/%61pp.js",
        "/APP.JS",
        "/app.js/",
        "/healthz/",
        "/Healthz",
        "https://a/x",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_answered(&request, Refusal::NotFound);
        let head = text(answer(&request.replace("GET", "HEAD")));
        let whole = String::from_utf8(Refusal::NotFound.response()).unwrap();
        assert!(whole.starts_with(&head) && head.ends_with("\r\n\r\n"));
    }
    // An upgrade to something else is no upgrade; neither is one asked for by HEAD.
    let other = altered("Upgrade: websocket", "Upgrade: h2c\r\n");
    assert_answered(&other, Refusal::NotFound);
}
