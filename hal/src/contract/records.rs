//! Contract of [`Records`].

use crate::Records;

/// Records to test, with access to what they contain.
pub trait RecordsFixture {
    /// The records.
    fn records(&self) -> &dyn Records;

    /// Everything that was printed on the console.
    fn console_text(&self) -> String;

    /// The log of an operation; `None` if there is none.
    fn log_text(&self, operation: &str) -> Option<String>;

    /// The report; `None` if there is none.
    fn report_text(&self) -> Option<String>;
}

/// Each operation has a log, with its lines in order.
pub fn logs_are_kept_by_operation_and_in_order(fixture: &dyn RecordsFixture) {
    let records = fixture.records();
    assert_eq!(fixture.log_text("sd-capture"), None);
    records.log("sd-capture", "first");
    records.log("emmc-writefs", "other");
    records.log("sd-capture", "second");
    let log = fixture.log_text("sd-capture").unwrap();
    assert_eq!(log.lines().collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(fixture.log_text("emmc-writefs").unwrap().trim_end(), "other");
}

/// There is one report, the last one, and it is complete.
pub fn a_report_replaces_the_one_before(fixture: &dyn RecordsFixture) {
    assert_eq!(fixture.report_text(), None);
    fixture.records().report("{\"status\":\"running\",\"media\":[1,2,3]}");
    fixture.records().report("{\"status\":\"success\"}");
    assert_eq!(fixture.report_text().unwrap(), "{\"status\":\"success\"}");
}

/// Progress lines are replaced; other lines stay.
pub fn console_lines_stay_in_order(fixture: &dyn RecordsFixture) {
    let records = fixture.records();
    records.console("plan: sd");
    records.progress("sd: 10 %");
    records.progress("sd: 20 %");
    records.console("sd: success");
    let text = fixture.console_text();
    let plan = text.find("plan: sd").expect("the first line");
    let end = text.find("sd: success").expect("the last line");
    assert!(plan < end, "{text}");
}
