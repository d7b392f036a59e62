//! People who signed in: by GitHub's own pages, as everybody does.

use reqwest::{Client, Response, header, redirect::Policy};

use super::World;

/// A client that follows no redirect.
pub fn client(headers: header::HeaderMap) -> Client {
    Client::builder().redirect(Policy::none()).default_headers(headers).build().unwrap()
}

/// Where an answer leads to.
pub fn location(answer: &Response) -> String {
    let to = answer.headers().get(header::LOCATION).expect("it leads somewhere");
    to.to_str().unwrap().to_owned()
}

/// The cookies that an answer sets, as a browser sends them back; deleted ones are left out.
pub fn cookies(answer: &Response) -> String {
    let set = answer.headers().get_all(header::SET_COOKIE).iter();
    let kept = set.filter_map(|set| {
        let set = set.to_str().unwrap();
        (!set.contains("Max-Age=0")).then(|| set.split(';').next().unwrap().to_owned())
    });
    kept.collect::<Vec<_>>().join("; ")
}

impl World {
    /// Begins a sign-in: GitHub's page, and the cookie that remembers it.
    pub async fn at_github(&self, url: &str) -> (String, String) {
        let begun = self.http.get(format!("{url}/_auth/")).send().await.unwrap();
        assert_eq!(begun.status(), 303);
        (location(&begun), cookies(&begun))
    }

    /// Comes back from GitHub.
    pub async fn back(&self, to: &str, cookie: &str) -> Response {
        self.http.get(to).header(header::COOKIE, cookie).send().await.unwrap()
    }

    /// Signs in; the answer that begins the session.
    pub async fn sign_in(&self, url: &str, login: &str) -> Response {
        let (page, cookie) = self.at_github(url).await;
        self.back(&self.sim.authorize(&page, login).await.unwrap(), &cookie).await
    }

    /// Changes the database behind the server's back: what time does, and other people.
    pub async fn change(&self, statement: &str) {
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&self.settings().database_url).await.unwrap();
        let changed = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await.unwrap();
        assert!(changed.rows_affected() > 0, "nothing to change: {statement}");
        pool.close().await;
    }

    /// A browser in which somebody has signed in.
    pub async fn visitor(&self, url: &str, login: &str) -> Client {
        let signed_in = self.sign_in(url, login).await;
        let (status, cookie) = (signed_in.status(), cookies(&signed_in));
        assert_eq!(status, 303, "{}", signed_in.text().await.unwrap());
        client([(header::COOKIE, cookie.parse().unwrap())].into_iter().collect())
    }
}

/// A form, sent as a browser does.
pub async fn post_form(visitor: &Client, url: &str, fields: &[(&str, &str)]) -> Response {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let kind = (header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    visitor.post(url).header(kind.0, kind.1).body(body).send().await.unwrap()
}
