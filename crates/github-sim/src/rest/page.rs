//! Lists in pages, with the `Link` header.
//!
//! Follows <https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api>.

use axum::{
    Json,
    extract::{FromRequestParts, OriginalUri},
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::answer::Refusal;
use crate::app::App;

const DEFAULT_SIZE: usize = 30;
pub(crate) const LARGEST_SIZE: usize = 100;

/// The page a caller asks for, and the query it is part of.
#[derive(Debug)]
pub(crate) struct Page {
    number: usize,
    size: usize,
    path: String,
    query: Vec<(String, String)>,
}

impl FromRequestParts<App> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let uri = OriginalUri::from_request_parts(parts, app)
            .await
            .map_or_else(|_| parts.uri.clone(), |OriginalUri(uri)| uri);
        let page = Self::of(uri.path(), uri.query().unwrap_or_default());
        let largest = app.world().largest_page;
        Ok(Self { size: page.size.min(largest), ..page })
    }
}

impl Page {
    fn of(path: &str, query: &str) -> Self {
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let number = |name: &str, default: usize| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .and_then(|(_, value)| value.parse().ok())
                .filter(|number| *number > 0)
                .unwrap_or(default)
        };
        Self {
            number: number("page", 1),
            size: number("per_page", DEFAULT_SIZE).min(LARGEST_SIZE),
            path: path.to_owned(),
            query,
        }
    }

    /// Another parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The part of a list that is on this page.
    pub(crate) fn cut<'a, T>(&self, list: &'a [T]) -> &'a [T] {
        let start = (self.number - 1).saturating_mul(self.size).min(list.len());
        &list[start..(start + self.size).min(list.len())]
    }

    /// Answers with this page of a list.
    pub(crate) fn answer(&self, app: &App, list: &[Value]) -> Response {
        self.with_links(app, list.len(), &Value::from(self.cut(list).to_vec()))
    }

    /// Answers with a page that was cut already, of a list of `total`.
    pub(crate) fn with_links(&self, app: &App, total: usize, body: &Value) -> Response {
        let base = app.world().base.clone();
        let mut answer = Json(body).into_response();
        if let Some(links) = self.links(&base, total)
            && let Ok(links) = HeaderValue::from_str(&links)
        {
            answer.headers_mut().insert(header::LINK, links);
        }
        answer
    }

    /// Answers with the part of a list that begins where `cursor` points; `names` gives the cursor
    /// of each. Deliveries have such pages, and no numbers.
    pub(crate) fn by_cursor(&self, app: &App, list: &[Value], names: &[String]) -> Response {
        let base = app.world().base.clone();
        let start = match self.parameter("cursor") {
            None => 0,
            Some(cursor) => names.iter().position(|name| name == cursor).unwrap_or(list.len()),
        };
        let end = (start + self.size).min(list.len());
        let mut answer = Json(&list[start..end]).into_response();
        if let Some(next) = names.get(end) {
            let link = format!("<{}>; rel=\"next\"", self.link(&base, "cursor", next));
            if let Ok(link) = HeaderValue::from_str(&link) {
                answer.headers_mut().insert(header::LINK, link);
            }
        }
        answer
    }

    /// The address of this list with another value of one parameter.
    fn link(&self, base: &str, name: &str, value: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(self.query.iter().filter(|(key, _)| key != name))
            .append_pair(name, value)
            .finish();
        format!("{base}{}?{query}", self.path)
    }

    fn links(&self, base: &str, total: usize) -> Option<String> {
        let last = total.div_ceil(self.size).max(1);
        let mut relations = Vec::new();
        if self.number > 1 {
            relations.push(("prev", (self.number - 1).min(last)));
        }
        if self.number < last {
            relations.extend([("next", self.number + 1), ("last", last)]);
        }
        if self.number > 1 {
            relations.push(("first", 1));
        }
        let links: Vec<String> = relations
            .into_iter()
            .map(|(relation, page)| {
                let link = self.link(base, "page", &page.to_string());
                format!("<{link}>; rel=\"{relation}\"")
            })
            .collect();
        (!links.is_empty()).then(|| links.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_neighbours_and_keep_the_query() {
        let page = Page::of("/api/v3/x", "per_page=2&state=all&page=2");
        assert_eq!(page.cut(&[1, 2, 3, 4, 5]), [3, 4]);
        assert_eq!(
            page.links("http://h", 5).as_deref(),
            Some(
                "<http://h/api/v3/x?per_page=2&state=all&page=1>; rel=\"prev\", \
                 <http://h/api/v3/x?per_page=2&state=all&page=3>; rel=\"next\", \
                 <http://h/api/v3/x?per_page=2&state=all&page=3>; rel=\"last\", \
                 <http://h/api/v3/x?per_page=2&state=all&page=1>; rel=\"first\""
            )
        );
    }

    #[test]
    fn a_list_that_fits_has_no_links_and_a_page_beyond_it_is_empty() {
        assert_eq!(Page::of("/x", "").links("http://h", 30), None);
        assert!(Page::of("/x", "page=9").cut(&[1, 2]).is_empty());
        assert_eq!(Page::of("/x", "per_page=1000&page=0").cut(&[0; 150]).len(), 100);
    }
}
