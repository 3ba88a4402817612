//! The steps of the site, in the order in which a visitor takes them.

use asm_browser::Scheme;

use crate::walker::Walker;

/// The start, and pages that are looked at by somebody without a session.
pub(crate) async fn looking_around(ada: &Walker) {
    ada.go("/").await;
    ada.reads("Sessions that stay correct").await;
    ada.look("start").await;
    assert_eq!(ada.cookie().await, None, "looking needs none");

    // The switch wins over what the browser likes, asks nobody, and is remembered.
    let theme = "return document.documentElement.dataset.theme";
    ada.browser.prefer(Scheme::Dark).await;
    ada.browser.until(&format!("{theme} === 'dark'")).await;
    let asked = "return performance.getEntriesByType('resource').length";
    let before = ada.browser.run(asked).await;
    ada.browser.click("[data-theme-switch]").await;
    assert_eq!(ada.browser.run(theme).await, "light");
    assert_eq!(ada.browser.run(asked).await, before);
    ada.go("/cart").await;
    assert_eq!(ada.browser.run(theme).await, "light");
    ada.browser.run("localStorage.clear(); return 1").await;

    for path in ["/burst", "/rotation", "/tabs", "/fields"] {
        ada.go(path).await;
        ada.follow("main form button").await;
        ada.reads("Sign in first").await;
    }
    ada.go("/nowhere").await;
    ada.reads("There is no such page on this site.").await;
    ada.look("refused").await;
    assert_eq!(ada.cookie().await, None, "nothing was stored");
}

/// A cart, of somebody who has not signed in.
pub(crate) async fn cart(ada: &Walker) {
    ada.go("/cart").await;
    ada.reads("You have no session yet").await;
    for item in ["Book", "Lamp", "Book"] {
        ada.follow(&format!("button[value={item}]")).await;
        ada.reads(&format!("One {item}")).await;
    }
    assert!(ada.cookie().await.is_some(), "there is something to keep");
    let rows = ada.browser.text("tbody").await;
    let rows: Vec<Vec<&str>> = rows
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows, [["Book", "2"], ["Lamp", "1"]]);
    ada.look("cart").await;
}

/// Every login replaces the id; what was in the session stays.
pub(crate) async fn sign_in(ada: &Walker) {
    let before = ada.cookie().await;
    ada.sign_in("Ada").await;
    ada.reads("the id was replaced, and every earlier one ended")
        .await;
    let first = ada.cookie().await;
    assert_ne!(first, before);
    ada.look("sign-in").await;
    ada.sign_in("Ada").await;
    assert_ne!(ada.cookie().await, first);
    assert_eq!(ada.count("tbody tr").await, 2, "before and now");
    assert_eq!(ada.count("tbody code").await, 2);
    ada.go("/cart").await;
    ada.reads("Lamp").await;
}

/// Twenty requests at once, in each mode: only `off` loses.
pub(crate) async fn burst(ada: &Walker) {
    for (mode, refused, lost) in [
        ("optimistic", 0, 0),
        ("on-write", 0, 0),
        ("on-open", 0, 0),
        ("manual", 0, 0),
        ("read-only", 20, 0),
        ("off", 0, 19),
    ] {
        ada.go("/burst").await;
        ada.browser.click(&format!("#mode-{mode}")).await;
        ada.follow("main form button").await;
        let verdict = ada.verdict().await;
        let acknowledged = 20 - refused;
        let counted =
            format!("{acknowledged} changes were acknowledged, {refused} refused, {lost} lost; ");
        assert!(verdict.contains(&counted), "{mode}: {verdict}");
        let unguarded = "a store without guards lost 19 of the same 20 at the same moment";
        assert!(verdict.contains(unguarded), "{mode}: {verdict}");
        assert_eq!(ada.count(".picture tbody tr").await, 20, "{mode}");
        assert_eq!(ada.count("tr.lost").await, lost, "{mode}");
        assert_eq!(ada.count("tr.refused").await, refused, "{mode}");
        assert_eq!(ada.count("rect.runs").await, 20, "{mode}");
        let (waits, holds) = (ada.count("rect.waits").await, ada.count("rect.holds").await);
        match mode {
            "on-open" | "on-write" | "manual" => {
                assert!(waits > 0, "{mode}");
                assert_eq!(holds, 20, "{mode}");
            }
            "optimistic" => assert!(ada.count("rect.meets").await > 0, "somebody merged"),
            "read-only" => assert_eq!((waits, holds), (0, 0), "{mode}"),
            // Whoever meets newer versions again and again takes the lock to save.
            _ => {}
        }
        // As a page that is loaded when it is over.
        ada.browser.run("location.reload(); return 1").await;
        assert_eq!(ada.verdict().await, verdict);
        ada.look(&format!("burst-{mode}")).await;
    }
}

/// The id is renewed while requests run on it.
pub(crate) async fn rotation(ada: &Walker) {
    let before = ada.cookie().await;
    ada.go("/rotation").await;
    ada.follow("main form button").await;
    assert_ne!(ada.cookie().await, before, "this browser got the new one");
    ada.reads("The requests are under way").await;
    let verdict = ada.verdict().await;
    for part in [
        "of which 5 were served; 3 came with the new id; 5 more came with the old one and were served \
         as zombies",
        "the old one was refused",
    ] {
        assert!(verdict.contains(part), "{verdict}");
    }
    assert_eq!(ada.count("tr.merged").await, 5, "zombies");
    assert_eq!(
        ada.count("tr.lost").await,
        0,
        "nobody got a cookie too many"
    );
    ada.look("rotation").await;
    ada.go("/").await;
    let who = ada.browser.text(".who").await;
    assert!(who.contains("Ada"), "still signed in");
}

/// One tab logs out while another one saves: as the site plays it, and as a visitor does it.
pub(crate) async fn tabs(ada: &Walker) {
    ada.go("/tabs").await;
    ada.follow("form[action='/tabs'] button").await;
    let verdict = ada.verdict().await;
    assert!(
        verdict
            .contains("the save of tab 1 was refused and the store has no record of it any more"),
        "{verdict}"
    );
    ada.look("tabs").await;

    let first = ada.browser.window().await;
    let second = ada.browser.open_window().await;
    ada.go("/sign-in").await;
    ada.browser.switch_window(&first).await;
    // Not as a page that is left: the driver of the browser would wait for the next one.
    let save =
        "window.saved = fetch('/tabs/slow', { method: 'POST' }).then(answer => answer.text());
        return 1";
    ada.browser.run(save).await;
    ada.browser.switch_window(&second).await;
    ada.follow("form[action='/sign-out'] button").await;
    ada.reads("You are logged out").await;
    ada.look("signed-out").await;
    assert_eq!(ada.cookie().await, None);
    ada.browser.close_window(&first).await;
    let saved = ada.browser.run("return window.saved").await;
    let refused = "because the session was ended meanwhile; it stays ended";
    assert!(saved.contains(refused), "{saved}");
    assert_eq!(ada.cookie().await, None, "nothing came back");
    ada.sign_in("Ada").await;
}

/// Two browsers on one account.
pub(crate) async fn devices(ada: &Walker, also_ada: &Walker) {
    also_ada.sign_in("Ada").await;
    ada.go("/devices").await;
    assert_eq!(ada.count("tbody tr").await, 2);
    assert_eq!(ada.count("tbody .tag").await, 1, "this one");
    ada.reads("Chrome without a screen on Linux").await;
    ada.look("devices").await;

    ada.follow("form[action='/devices/others'] button").await;
    ada.reads("one other session has ended, and this one lives")
        .await;
    assert_eq!(ada.count("tbody tr").await, 1);
    also_ada.go("/cart").await;
    also_ada.reads("it was logged out elsewhere").await;
    also_ada.does_not_read("Signed in as").await;
    also_ada.look("ended-elsewhere").await;

    // One by one, and everywhere.
    also_ada.sign_in("Ada").await;
    ada.go("/devices").await;
    ada.follow("tr:not(:has(.tag)) form button").await;
    ada.reads("That session has ended").await;
    also_ada.sign_in("Ada").await;
    ada.go("/devices").await;
    ada.follow("form[action='/devices/all'] button").await;
    ada.reads("You are logged out").await;
    assert_eq!(ada.cookie().await, None);
    also_ada.go("/").await;
    also_ada.does_not_read("Signed in as").await;
    ada.sign_in("Ada").await;
    also_ada.sign_in("Ada").await;
}

/// A counter and a list, without a lock.
pub(crate) async fn fields(ada: &Walker) {
    ada.go("/fields").await;
    ada.follow("form[action='/fields/click'] button").await;
    ada.reads("The store added 1 by itself, and answered 1.")
        .await;
    ada.browser.fill("#line", "<b>bold</b> & so on").await;
    ada.follow("form[action='/fields/line'] button").await;
    assert_eq!(ada.browser.text(".lines").await, "<b>bold</b> & so on");
    ada.follow("form[action='/fields'] button").await;
    let verdict = ada.verdict().await;
    assert!(
        verdict.contains("the counter grew by 20, the list by 20 lines, 0 waited for the lock"),
        "{verdict}"
    );
    assert_eq!(ada.count("rect.holds").await, 1, "one has it all the time");
    ada.browser.run("location.reload(); return 1").await;
    ada.verdict().await;
    assert_eq!(ada.browser.text("#clicks").await, "21");
    ada.reads("(21)").await;
    ada.look("fields").await;
}

/// One holds a lock, another one sees that and frees it.
pub(crate) async fn locks(ada: &Walker, also_ada: &Walker) {
    let said = |text: &str| {
        format!("return document.querySelector('output.said').textContent.includes({text:?})")
    };
    let held = "return document.querySelector('main table').innerText.includes('POST /locks/hold')";
    let free =
        "return !document.querySelector('main table').innerText.includes('POST /locks/hold')";
    also_ada.go("/locks").await;
    ada.go("/locks").await;
    ada.browser.click("form[data-stay] button").await;
    ada.browser.until(&said("holds the lock")).await;
    also_ada.browser.until(held).await;
    also_ada.look("locks-held").await;
    also_ada.follow("button[id^='free-']").await;
    also_ada.reads("of the lock was ended by force").await;
    also_ada.look("locks-freed").await;
    ada.browser
        .until(&said("because the lock was taken away from this request"))
        .await;
    ada.look("locks-lost").await;

    // Whoever hangs up leaves no lock behind.
    ada.browser.click("form[data-stay] button").await;
    also_ada.browser.until(held).await;
    ada.browser.click("[data-hang-up]").await;
    ada.browser.until(&said("You hung up")).await;
    also_ada.browser.until(free).await;

    // And whoever stays saves.
    ada.browser.fill("#seconds", "1").await;
    ada.browser.click("form[data-stay] button").await;
    ada.browser
        .until(&said("held the lock for 1 s and saved"))
        .await;
}

/// Records as they are stored.
pub(crate) async fn stored(ada: &Walker) {
    ada.go("/stored").await;
    ada.look("stored-before").await;
    ada.follow("main form button").await;
    ada.reads("were stored in 4 ways").await;
    let facts =
        "return [...document.querySelectorAll('.facts')].map(one => one.innerText).join('|')";
    let facts = ada.browser.run(facts).await;
    let facts: Vec<&str> = facts.split('|').collect();
    assert_eq!(facts.len(), 4);
    for (number, record) in facts.iter().enumerate() {
        let sealed = number > 1;
        assert_eq!(record.contains("can be read in them"), !sealed, "{record}");
        assert_eq!(record.contains("it was tampered with"), sealed, "{record}");
        let dump = format!(".records section:nth-of-type({}) .dump", number + 1);
        let dump = ada.browser.text(&dump).await;
        // What is compressed may show it in pieces.
        if number != 1 {
            assert_eq!(dump.contains("4111 1111"), !sealed, "{dump}");
        }
        assert!(dump.contains("ASM"), "the envelope is not secret");
    }
    ada.look("stored").await;
}

/// Changes as they happen, and their end.
pub(crate) async fn feed(ada: &Walker) {
    let count = |kind: &str, least: u32| {
        format!("return document.querySelectorAll('.feed li.{kind}').length >= {least}")
    };
    ada.go("/feed").await;
    ada.browser.until(&count("note", 1)).await;
    ada.browser.click("form[data-stay] button").await;
    ada.browser.until(&count("saved", 1)).await;
    let feed = ada.browser.window().await;
    ada.browser.open_window().await;
    ada.go("/cart").await;
    ada.follow("button[value=Teapot]").await;
    ada.go("/sign-in").await;
    ada.follow("form[action='/sign-in'] button").await;
    ada.browser.close_window(&feed).await;
    // The login began a new time for ids: this feed was of the old one.
    ada.browser.until(&count("ended", 1)).await;
    ada.look("feed-ended").await;

    ada.go("/feed").await;
    ada.browser.until(&count("note", 1)).await;
    ada.browser.open_window().await;
    ada.go("/sign-in").await;
    ada.follow("form[action='/sign-out'] button").await;
    ada.browser.close_window(&feed).await;
    ada.browser.until(&count("ended", 1)).await;
    ada.browser
        .until("return document.querySelector('[data-stream]').dataset.over === 'yes'")
        .await;
    ada.reads("The feed has ended: the session was logged out")
        .await;
}
