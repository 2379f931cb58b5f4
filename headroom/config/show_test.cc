// Golden texts: what people and programs see of the sample's tables.
#include <gtest/gtest.h>

#include "headroom/config/config.h"
#include "headroom/config/sample_test.h"
#include "headroom/json/json.h"

namespace headroom::config {
namespace {

Schema small() {
  Schema schema;
  schema.add(sample::admin_section());
  return schema;
}

TEST(ConfigShow, HelpGivesEverySettingWithItsDefault) {
  EXPECT_EQ(sample::schema().help_text(), R"([edge] The HTTP proxy.
  edge.enabled = true                         Off: no HTTP.
  edge.listen = 0.0.0.0:8080                  Where clients connect.
  edge.header_timeout = 10s                   For a whole head.
  edge.body_limit = 10MiB                     Of a request.
  edge.rate                                   Of one client; empty: none.
  edge.balance = least                        How an upstream is picked. One of least, random.
  edge.jitter = 0.1                           Of health checks.
  edge.max_connections = 10000                Of clients.
  edge.trusted_proxies = 127.0.0.1, ::1       Whose word | counts.
  edge.steps = 1s,2s                          Growing time-outs.
  edge.tls.cert                               The chain, PEM.
  edge.tls.key                                Its private key, PEM.
  edge.upstreams[].url (required)             Where it listens.
  edge.upstreams[].weight = 1                 Its share.

[admin] Who may do what.
  admin.database = postgres://me:***@db/app   Of accounts.
  admin.password                              Of the console.
  admin.roles                                 The app's roles as ours.
)");
}

TEST(ConfigShow, MarkdownIsATablePerSection) {
  EXPECT_EQ(sample::schema().markdown(), R"(# Settings

Generated from the tables in the code; do not edit. A setting is taken from, in rising order: its default, the file (`--config`), the environment, a flag (`--set edge.listen=:9000`). *live*: a reload takes it up; *restart*: the next start does. What is not known is refused.

Durations: `500ms`, `30s`, `2m`, `1h`, `1d`. Sizes: `64KiB`, `256MiB`, `2gb` (k, kb and KiB are all 1024). Rates: `100/min`, `100r/s`, `1000/15min`. Addresses: `127.0.0.1:8080`, `[::1]:8080`, `:8080` (all), `unix:/run/app.sock`; port 0 is any free one. Lists in the environment are separated by commas.

## [edge]

The HTTP proxy.

| setting | type | default | reload | environment | |
|---|---|---|---|---|---|
| `enabled` | boolean | `true` | restart | `HEADROOM_EDGE_ENABLED` | Off: no HTTP. |
| `listen` | address | `0.0.0.0:8080` | restart | `HEADROOM_EDGE_LISTEN` | Where clients connect. |
| `header_timeout` | duration | `10s` | live | `HEADROOM_EDGE_HEADER_TIMEOUT` | For a whole head. |
| `body_limit` | size | `10MiB` | live | `HEADROOM_EDGE_BODY_LIMIT` | Of a request. |
| `rate` | rate |  | live | `HEADROOM_EDGE_RATE` | Of one client; empty: none. |
| `balance` | choice | `least` | live | `HEADROOM_EDGE_BALANCE` | How an upstream is picked. One of least, random. |
| `jitter` | number | `0.1` | live | `HEADROOM_EDGE_JITTER` | Of health checks. |
| `max_connections` | integer | `10000` | live | `HEADROOM_EDGE_MAX_CONNECTIONS` | Of clients. |
| `trusted_proxies` | list of text | `127.0.0.1, ::1` | live | `HEADROOM_EDGE_TRUSTED_PROXIES` | Whose word \| counts. |
| `steps` | list of duration | `1s,2s` | live | `HEADROOM_EDGE_STEPS` | Growing time-outs. |

## [edge.tls]

Certificates.

| setting | type | default | reload | environment | |
|---|---|---|---|---|---|
| `cert` | text |  | live | `HEADROOM_EDGE_TLS_CERT` | The chain, PEM. |
| `key` | text |  | live | `HEADROOM_EDGE_TLS_KEY` | Its private key, PEM. |

## [[edge.upstreams]]

A server of the app.

| setting | type | default | reload | environment | |
|---|---|---|---|---|---|
| `url` | text | required | live |  | Where it listens. |
| `weight` | integer | `1` | live |  | Its share. |

## [admin]

Who may do what.

| setting | type | default | reload | environment | |
|---|---|---|---|---|---|
| `database` | text | `postgres://me:***@db/app` | restart | `HEADROOM_ADMIN_DATABASE` | Of accounts. |
| `password` | text |  | live | `HEADROOM_ADMIN_PASSWORD` | Of the console. Secret: never shown. |
| `roles` | map to text |  | live | `HEADROOM_ADMIN_ROLES` | The app's roles as ours. |

## Other variables

The names that other systems use; `HEADROOM_...` wins over them.

| variable | setting |
|---|---|
| `NGINX_RATE_LIMIT` | `edge.rate` |
| `NGINX_WORKER_CONNECTIONS` | `edge.max_connections` |
| `HEAD_TIMEOUT` | `edge.header_timeout` |
)");
}

TEST(ConfigShow, TheJsonSchemaDescribesTheFile) {
  EXPECT_EQ(
      small().json_schema(),
      R"({"$schema":"https://json-schema.org/draft/2020-12/schema","title":"Headroom's settings",)"
      R"("type":"object","additionalProperties":false,"properties":{"admin":{"type":"object",)"
      R"("description":"Who may do what.","additionalProperties":false,)"
      R"("properties":{"database":{"type":"string",)"
      R"("description":"Of accounts. Expected: a text in quotes.",)"
      R"("x-default":"postgres://me:***@db/app","x-reload":"restart",)"
      R"("x-environment":"HEADROOM_ADMIN_DATABASE"},"password":{"type":"string",)"
      R"("description":"Of the console. Expected: a text of at least 4 characters.",)"
      R"("x-reload":"live","x-environment":"HEADROOM_ADMIN_PASSWORD"},"roles":{"type":"object",)"
      R"("additionalProperties":{"type":"string"},)"
      R"("description":"The app's roles as ours. Expected: a table of names,)"
      R"( each with a text in quotes.","x-default":"","x-reload":"live",)"
      R"("x-environment":"HEADROOM_ADMIN_ROLES"}}}}})");
  const auto whole = json::parse(sample::schema().json_schema());
  ASSERT_TRUE(whole) << whole.error().message;
  const json::Value edge = *whole->root().find("properties")->find("edge")->find("properties");
  EXPECT_EQ(edge.find("steps")->find("items")->text(), R"({"type":["string","integer"]})");
  EXPECT_EQ(edge.find("balance")->find("enum")->text(), R"(["least","random"])");
  EXPECT_EQ(edge.find("upstreams")->find("items")->find("required")->text(), R"(["url"])");
}

TEST(ConfigShow, EffectiveSettingsNameTheirOriginAndHideSecrets) {
  const auto settings =
      small().load({.file = Document{"h.toml", "[admin]\npassword = \"hush\"\n"},
                    .environment = {{"HEADROOM_ADMIN_DATABASE", "pg://me:hush@b/c"}},
                    .flags = {{"admin.roles.a", "b"}}});
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ((*settings)->get<sample::Admin>().password, "hush");
  EXPECT_EQ((*settings)->to_json(),
            R"({"settings":[{"name":"admin.database","value":"pg://me:***@b/c",)"
            R"("origin":"HEADROOM_ADMIN_DATABASE","reload":"restart"},{"name":"admin.password",)"
            R"("value":"***","origin":"h.toml:2","reload":"live"},{"name":"admin.roles",)"
            R"("value":{"a":"b"},"origin":"--set","reload":"live"}]})");
}

}  // namespace
}  // namespace headroom::config
