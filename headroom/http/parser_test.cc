#include "headroom/http/parser.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "headroom/http/codec_checks.h"

namespace headroom::http {
namespace {

struct Row {
  const char* sentence;
  std::string bytes;
  // "400", or of a complete head: method, path and query, authority, body, then what else is set.
  std::string outcome;
};

std::string shape_of_body(const Head& head) {
  switch (head.body) {
    case Body::none: return "none";
    case Body::length: return "length=" + std::to_string(head.content_length);
    case Body::chunked: return "chunked";
    case Body::until_close: return "until_close";
  }
  return "?";
}

std::string shape_of_rest(const Head& head) {
  std::string text = shape_of_body(head) + (head.keep_alive ? " keep" : " close");
  if (!head.upgrade.empty()) text += " upgrade=" + std::string(head.upgrade);
  for (const Field& field : head.fields) {
    if (field.hop_by_hop && field.id == Name::other) text += " hop=" + std::string(field.name);
  }
  return text;
}

std::string outcome_of(const Parsed& parsed, const RequestHead& head) {
  if (parsed.state == Parsed::State::incomplete) return "incomplete";
  if (parsed.state == Parsed::State::refused) return std::to_string(parsed.refusal.status);
  std::string text = std::string(head.method_text) + " " + std::string(head.path_and_query) + " " +
                     std::string(head.authority) + " " + shape_of_rest(head);
  if (head.expect_continue) text += " expect";
  return text;
}

std::string outcome_of(const Parsed& parsed, const ResponseHead& head) {
  if (parsed.state == Parsed::State::incomplete) return "incomplete";
  if (parsed.state == Parsed::State::refused) return std::to_string(parsed.refusal.status);
  return std::to_string(head.status) + " " + shape_of_rest(head);
}

const std::string kA = "Host: a\r\n";

std::string get(const std::string& fields) { return "GET / HTTP/1.1\r\n" + kA + fields + "\r\n"; }
std::string post(const std::string& fields) { return "POST / HTTP/1.1\r\n" + kA + fields + "\r\n"; }
std::string target(const std::string& text) {
  return "GET " + text + " HTTP/1.1\r\n" + kA + "\r\n";
}
std::string host(const std::string& text) { return "GET / HTTP/1.1\r\nHost:" + text + "\r\n\r\n"; }

// A head with one field that makes it `size` bytes.
std::string head_of(std::size_t size) {
  const std::size_t used = get("X: \r\n").size();
  return get("X: " + std::string(size - used, 'x') + "\r\n");
}
std::string with_fields(std::size_t count) {
  std::string fields;
  for (std::size_t i = 1; i < count; ++i) fields += "X: y\r\n";  // Host is one
  return get(fields);
}

const std::vector<Row>& request_rows() {
  static const std::string kNul(1, '\0');
  static const std::vector<Row> kRows{
      {"the smallest request", get(""), "GET / a none keep"},
      {"HTTP/1.0 closes and may lack Host", "GET / HTTP/1.0\r\n\r\n", "GET /  none close"},
      {"HTTP/1.0 may ask to stay", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
       "GET /  none keep"},
      {"a query is kept", target("/x?a=1&b=/?c"), "GET /x?a=1&b=/?c a none keep"},
      {"a path is not normalised", target("//a/%2e%2e/../b"), "GET //a/%2e%2e/../b a none keep"},
      {"an unknown method is passed on", "BREW / HTTP/1.1\r\n" + kA + "\r\n", "BREW / a none keep"},
      {"methods are case-sensitive, not refused", "get / HTTP/1.1\r\n" + kA + "\r\n",
       "get / a none keep"},
      {"bytes behind the head are not looked at", get("") + "\x01\xff", "GET / a none keep"},
      {"one empty line before the request is skipped", "\r\n" + get(""), "GET / a none keep"},
      {"two empty lines are not", "\r\n\r\n" + get(""), "400"},
      {"a bare LF as empty line is not", "\n" + get(""), "400"},
      {"white space around values is cut", get("X:  \t y z \t \r\n"), "GET / a none keep"},
      {"an empty value is a value", get("X:\r\n"), "GET / a none keep"},
      {"obs-text is allowed in values", get("X: caf\xc3\xa9\r\n"), "GET / a none keep"},
      {"TAB is allowed in values", get("X: a\tb\r\n"), "GET / a none keep"},

      {"a TLS hello on a plain port", "\x16\x03\x01\x02", "400"},
      {"no spaces", "GET/HTTP/1.1\r\n\r\n", "400"},
      {"HTTP/0.9", "GET /\r\n", "400"},
      {"two spaces before the target", "GET  / HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"two spaces behind the target", "GET /  HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"TAB instead of space", "GET\t/ HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"a space in front", " GET / HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"a space behind the version", "GET / HTTP/1.1 \r\n" + kA + "\r\n", "400"},
      {"an empty method", " / HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"a method that is no token", "G@T / HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"a method of obs-text", "G\xc3T / HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
      {"HTTP/1.2", "GET / HTTP/1.2\r\n" + kA + "\r\n", "505"},
      {"HTTP/3.0", "GET / HTTP/3.0\r\n" + kA + "\r\n", "505"},
      {"small letters in the version", "GET / http/1.1\r\n" + kA + "\r\n", "400"},
      {"two digits in the version", "GET / HTTP/1.10\r\n" + kA + "\r\n", "400"},
      {"a version without a minor", "GET / HTTP/1\r\n" + kA + "\r\n", "400"},
      {"a version with a comma", "GET / HTTP/1,1\r\n" + kA + "\r\n", "400"},

      {"a fragment in the target", target("/a#b"), "400"},
      {"non-ASCII in the target", target("/\xc3\xa4"), "400"},
      {"a space in the target", target("/a b"), "400"},
      {"DEL in the target", target("/\x7f"), "400"},
      {"NUL in the target", target("/" + kNul), "400"},
      {"a target without a slash", target("a"), "400"},
      {"an empty target", target(""), "400"},
      {"absolute-form is cut to its path", "GET http://a/x?y HTTP/1.1\r\n" + kA + "\r\n",
       "GET /x?y a none keep"},
      {"absolute-form without a path asks for /", "GET HTTP://a HTTP/1.1\r\n" + kA + "\r\n",
       "GET / a none keep"},
      {"OPTIONS in absolute-form without a path asks for *",
       "OPTIONS http://a HTTP/1.1\r\n" + kA + "\r\n", "OPTIONS * a none keep"},
      {"absolute-form with https", "GET https://A:1/ HTTP/1.1\r\nHost: a:1\r\n\r\n",
       "GET / A:1 none keep"},
      {"absolute-form in HTTP/1.0", "GET http://a/ HTTP/1.0\r\n\r\n", "GET / a none close"},
      {"absolute-form that disagrees with Host", "GET http://b/ HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"absolute-form with another port than Host", "GET http://a:80/ HTTP/1.1\r\n" + kA + "\r\n",
       "400"},
      {"absolute-form with userinfo", "GET http://u@a/ HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"absolute-form without a host", "GET http:///x HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"absolute-form with a query and no path", "GET http://a?x HTTP/1.1\r\n" + kA + "\r\n",
       "400"},
      {"another scheme", "GET ftp://a/ HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"absolute-form needs Host too", "GET http://a/ HTTP/1.1\r\n\r\n", "400"},
      {"asterisk-form with OPTIONS", "OPTIONS * HTTP/1.1\r\n" + kA + "\r\n",
       "OPTIONS * a none keep"},
      {"asterisk-form with GET", "GET * HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"authority-form with CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
       "CONNECT  a:443 none keep"},
      {"CONNECT without a port", "CONNECT a HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"CONNECT with a path", "CONNECT / HTTP/1.1\r\n" + kA + "\r\n", "400"},
      {"authority-form with GET", target("a:443"), "400"},

      {"no Host", "GET / HTTP/1.1\r\n\r\n", "400"},
      {"two Hosts", get("Host: a\r\n"), "400"},
      {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", "400"},
      {"Host with a port", host(" a.b-c_d.example:65535"), "GET / a.b-c_d.example:65535 none keep"},
      {"Host as an IPv6 address", host("[2001:db8::1]:8080"), "GET / [2001:db8::1]:8080 none keep"},
      {"an empty Host", host(" "), "400"},
      {"Host with userinfo", host(" u@a"), "400"},
      {"Host with a path", host(" a/b"), "400"},
      {"Host with a comma", host(" a,b"), "400"},
      {"Host with a space", host(" a b"), "400"},
      {"Host with a percent-escape", host(" a%2fb"), "400"},
      {"Host with obs-text", host(" \xc3\xa4"), "400"},
      {"Host with an empty port", host(" a:"), "400"},
      {"Host with port 0", host(" a:0"), "400"},
      {"Host with too large a port", host(" a:65536"), "400"},
      {"Host with a port that is no number", host(" a:8o"), "400"},
      {"Host with a broken IPv6 address", host(" [::1"), "400"},
      {"Host with a name in brackets", host(" [a]"), "400"},
      {"Host with an IPv4 address in brackets", host(" [1.2.3.4]"), "400"},
      {"Host with a zone", host(" [fe80::1%25eth0]"), "400"},

      {"a bare LF behind the request line", "GET / HTTP/1.1\n" + kA + "\r\n", "400"},
      {"a bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", "400"},
      {"a bare LF as the last line", "GET / HTTP/1.1\r\nHost: a\r\n\n", "400"},
      {"a bare CR in a value", get("X: a\rb\r\n"), "400"},
      {"a bare CR before the end of line", get("X: a\r\r\n"), "400"},
      {"NUL in a value", get("X: a" + kNul + "b\r\n"), "400"},
      {"another control in a value", get("X: a\x01\r\n"), "400"},
      {"VTAB in a value", get("X: \x0b\r\n"), "400"},
      {"DEL in a value", get("X: \x7f\r\n"), "400"},
      {"NUL in a name", get("X" + kNul + ": a\r\n"), "400"},
      {"a folded line", get("X: a\r\n b\r\n"), "400"},
      {"a line folded with TAB", get("X: a\r\n\tb: c\r\n"), "400"},
      {"a folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"},
      {"a space before the colon", get("X : a\r\n"), "400"},
      {"a space before the colon of a known name", get("Content-Length : 0\r\n"), "400"},
      {"TAB before the colon", get("X\t: a\r\n"), "400"},
      {"an empty name", get(": a\r\n"), "400"},
      {"no colon", get("X\r\n"), "400"},
      {"a space in a name", get("X Y: a\r\n"), "400"},
      {"a name with a bracket", get("X[]: a\r\n"), "400"},
      {"a name of obs-text", get("X\xe4: a\r\n"), "400"},
      {"a known name with a bit turned", get("Content\x0dLength: 1\r\n"), "400"},

      {"Content-Length", post("Content-Length: 5\r\n"), "POST / a length=5 keep"},
      {"Content-Length 0 is a length", post("content-LENGTH:0\r\n"), "POST / a length=0 keep"},
      {"leading zeros", post("Content-Length: 0005\r\n"), "POST / a length=5 keep"},
      {"a body on GET is announced like any other", get("Content-Length: 5\r\n"),
       "GET / a length=5 keep"},
      {"an empty Content-Length", post("Content-Length: \r\n"), "400"},
      {"a signed Content-Length", post("Content-Length: +5\r\n"), "400"},
      {"a negative Content-Length", post("Content-Length: -5\r\n"), "400"},
      {"a hexadecimal Content-Length", post("Content-Length: 0x5\r\n"), "400"},
      {"a Content-Length list", post("Content-Length: 5, 5\r\n"), "400"},
      {"a Content-Length with an underscore", post("Content-Length: 1_0\r\n"), "400"},
      {"a Content-Length with a space", post("Content-Length: 1 0\r\n"), "400"},
      {"a fraction as Content-Length", post("Content-Length: 5.0\r\n"), "400"},
      {"Content-Length of Arabic digits", post("Content-Length: \xd9\xa5\r\n"), "400"},
      {"a Content-Length beyond 64 bits", post("Content-Length: 18446744073709551617\r\n"), "400"},
      {"a Content-Length beyond any file", post("Content-Length: 9223372036854775807\r\n"), "400"},
      {"two Content-Lengths that differ", post("Content-Length: 5\r\nContent-Length: 6\r\n"),
       "400"},
      {"two Content-Lengths that agree", post("Content-Length: 5\r\nContent-Length: 5\r\n"), "400"},
      {"Content-Length, then Transfer-Encoding",
       post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "400"},
      {"Transfer-Encoding, then Content-Length",
       post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "400"},
      {"Content-Length 0 with Transfer-Encoding",
       post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), "400"},

      {"Transfer-Encoding: chunked", post("Transfer-Encoding: chunked\r\n"),
       "POST / a chunked keep"},
      {"in any letter case", post("transfer-encoding: Chunked\r\n"), "POST / a chunked keep"},
      {"chunked twice", post("Transfer-Encoding: chunked, chunked\r\n"), "400"},
      {"two lines of Transfer-Encoding",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "400"},
      {"a coding we do not have, then chunked", post("Transfer-Encoding: gzip, chunked\r\n"),
       "501"},
      {"two lines of codings", post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
       "400"},
      {"a coding without chunked", post("Transfer-Encoding: gzip\r\n"), "400"},
      {"identity", post("Transfer-Encoding: identity\r\n"), "400"},
      {"chunked not last", post("Transfer-Encoding: chunked, gzip\r\n"), "400"},
      {"a comma in front of chunked", post("Transfer-Encoding: ,chunked\r\n"), "400"},
      {"a comma behind chunked", post("Transfer-Encoding: chunked,\r\n"), "400"},
      {"chunked with a parameter", post("Transfer-Encoding: chunked;a=b\r\n"), "400"},
      {"chunked behind VTAB",
       post("Transfer-Encoding: \x0b"
            "chunked\r\n"),
       "400"},
      {"chunked behind obs-text",
       post("Transfer-Encoding: \xff"
            "chunked\r\n"),
       "400"},
      {"chunked in quotes", post("Transfer-Encoding: \"chunked\"\r\n"), "400"},
      {"xchunked", post("Transfer-Encoding: xchunked\r\n"), "400"},
      {"an empty Transfer-Encoding", post("Transfer-Encoding:\r\n"), "400"},
      {"Transfer-Encoding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
       "400"},
      {"Transfer_Encoding is another field", post("Transfer_Encoding: chunked\r\n"),
       "POST / a none keep"},

      {"Connection: close", get("Connection: close\r\n"), "GET / a none close"},
      {"close wins over keep-alive", get("Connection: keep-alive, Close\r\n"),
       "GET / a none close"},
      {"close in a second line", get("Connection: keep-alive\r\nConnection: close\r\n"),
       "GET / a none close"},
      {"an option names a field of this hop", get("x-own: 1\r\nConnection: X-Own\r\n"),
       "GET / a none keep hop=x-own"},
      {"named before it comes", get("Connection: a, x-own\r\nX-Own: 1\r\n"),
       "GET / a none keep hop=X-Own"},
      {"end-to-end fields cannot be named",
       get("Cookie: c\r\nAuthorization: b\r\nX-Forwarded-For: 1.1.1.1\r\n"
           "Connection: cookie, authorization, host, x-forwarded-for, content-length\r\n"),
       "GET / a none keep"},
      {"empty options are skipped", get("Connection: , ,close,\r\n"), "GET / a none close"},
      {"an option that is no token", get("Connection: a b\r\n"), "400"},
      {"an option in quotes", get("Connection: \"close\"\r\n"), "400"},
      {"Proxy-Connection says nothing", get("Proxy-Connection: close\r\n"), "GET / a none keep"},

      {"a WebSocket upgrade", get("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"),
       "GET / a none keep upgrade=websocket"},
      {"Upgrade that Connection does not list", get("Upgrade: websocket\r\n"), "GET / a none keep"},
      {"Upgrade in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
       "GET /  none close"},
      {"Upgrade with a body", post("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n"),
       "POST / a length=1 keep"},
      {"HTTP/2 in clear text, by upgrade", get("Connection: upgrade\r\nUpgrade: H2C\r\n"),
       "GET / a none keep"},
      {"several protocols offered", get("Connection: upgrade\r\nUpgrade: h2c, websocket\r\n"),
       "GET / a none keep"},

      {"Expect: 100-continue", post("Expect: 100-Continue\r\nContent-Length: 1\r\n"),
       "POST / a length=1 keep expect"},
      {"Expect without a body is ignored", get("Expect: 100-continue\r\n"), "GET / a none keep"},
      {"Expect in HTTP/1.0 is ignored",
       "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
       "POST /  length=1 close"},
      {"another expectation", post("Expect: 200-ok\r\nContent-Length: 1\r\n"), "417"},

      {"a request line of 8 KiB", target("/" + std::string(8192 - 14, 'a')),
       "GET /" + std::string(8192 - 14, 'a') + " a none keep"},
      {"a request line of one byte more", target("/" + std::string(8192 - 13, 'a')), "414"},
      {"a request line that never ends", "GET /" + std::string(9000, 'a'), "414"},
      {"a head of 32 KiB", head_of(32768), "GET / a none keep"},
      {"a head of one byte more", head_of(32769), "431"},
      {"a head that never ends", "GET / HTTP/1.1\r\nX: " + std::string(40000, 'a'), "431"},
      {"100 fields", with_fields(100), "GET / a none keep"},
      {"101 fields", with_fields(101), "431"},
  };
  return kRows;
}

std::string ok(const std::string& fields) { return "HTTP/1.1 200 OK\r\n" + fields + "\r\n"; }
std::string with_status(const std::string& status, const std::string& fields) {
  return "HTTP/1.1 " + status + "\r\n" + fields + "\r\n";
}

struct ResponseRow : Row {
  Method method = Method::get;
};

const std::vector<ResponseRow>& response_rows() {
  static const std::vector<ResponseRow> kRows{
      {{"a length", ok("Content-Length: 5\r\n"), "200 length=5 keep"}},
      {{"chunks", ok("Transfer-Encoding: chunked\r\n"), "200 chunked keep"}},
      {{"neither: until the connection closes", ok(""), "200 until_close close"}},
      {{"an empty reason", with_status("200 ", "Content-Length: 0\r\n"), "200 length=0 keep"}},
      {{"no reason, no space", with_status("200", "Content-Length: 0\r\n"), "200 length=0 keep"}},
      {{"a reason with obs-text", with_status("200 \xc3\xa4", "Content-Length: 0\r\n"),
        "200 length=0 keep"}},
      {{"a status of no meaning", with_status("999 ?", "Content-Length: 0\r\n"),
        "999 length=0 keep"}},
      {{"HTTP/1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "200 length=1 close"}},
      {{"HTTP/1.0 stays when it says so",
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
        "200 length=1 keep"}},
      {{"Connection: close", ok("Content-Length: 1\r\nConnection: close\r\n"),
        "200 length=1 close"}},
      {{"Connection names a field", ok("Content-Length: 1\r\nX-A: 1\r\nConnection: x-a\r\n"),
        "200 length=1 keep hop=X-A"}},
      {{"Connection cannot name Set-Cookie",
        ok("Content-Length: 1\r\nConnection: set-cookie\r\nSet-Cookie: a\r\n"),
        "200 length=1 keep"}},

      {{"the answer to HEAD has no body", ok("Content-Length: 5\r\n"), "200 none keep"},
       Method::head},
      {{"even in chunks", ok("Transfer-Encoding: chunked\r\n"), "200 none keep"}, Method::head},
      {{"even until close", ok(""), "200 none keep"}, Method::head},
      {{"204 has no body", with_status("204 No Content", ""), "204 none keep"}},
      {{"204 with Content-Length 0", with_status("204 No Content", "Content-Length: 0\r\n"),
        "204 none keep"}},
      {{"204 that announces a body is not believed again",
        with_status("204 No Content", "Content-Length: 5\r\n"), "204 none close"}},
      {{"304 has no body whatever its length says",
        with_status("304 Not Modified", "Content-Length: 5\r\n"), "304 none keep"}},
      {{"100", with_status("100 Continue", ""), "100 none keep"}},
      {{"103 with fields", with_status("103 Early Hints", "Link: </a>\r\n"), "103 none keep"}},
      {{"1xx with a length", with_status("100 Continue", "Content-Length: 5\r\n"), "502"}},
      {{"1xx in chunks", with_status("103 Early Hints", "Transfer-Encoding: chunked\r\n"), "502"}},
      {{"101",
        with_status("101 Switching Protocols", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        "101 none close upgrade=websocket"}},
      {{"101 without Upgrade", with_status("101 Switching Protocols", "Connection: upgrade\r\n"),
        "502"}},
      {{"101 without Connection", with_status("101 Switching Protocols", "Upgrade: websocket\r\n"),
        "502"}},
      {{"2xx to CONNECT is a tunnel", ok("Content-Length: 5\r\n"), "200 none close"},
       Method::connect},
      {{"4xx to CONNECT is an answer", with_status("403 No", "Content-Length: 5\r\n"),
        "403 length=5 keep"},
       Method::connect},

      {{"Content-Length with Transfer-Encoding",
        ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "502"}},
      {{"two Content-Lengths", ok("Content-Length: 5\r\nContent-Length: 5\r\n"), "502"}},
      {{"a Content-Length list", ok("Content-Length: 5,5\r\n"), "502"}},
      {{"a negative Content-Length", ok("Content-Length: -1\r\n"), "502"}},
      {{"Content-Length on HEAD is checked too", ok("Content-Length: x\r\n"), "502"}, Method::head},
      {{"another transfer coding", ok("Transfer-Encoding: gzip, chunked\r\n"), "502"}},
      {{"Transfer-Encoding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "502"}},
      {{"a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "502"}},
      {{"a bare CR in a value", ok("X: a\rb\r\n"), "502"}},
      {{"NUL in the reason", with_status(std::string("200 a\0", 6), ""), "502"}},
      {{"a folded line", ok("X: a\r\n b\r\n"), "502"}},
      {{"a space before the colon", ok("X : a\r\n"), "502"}},
      {{"no colon", ok("X\r\n"), "502"}},
      {{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", "502"}},
      {{"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n", "502"}},
      {{"HTTP/0.9", "<html>\r\n", "502"}},
      {{"an empty line first", "\r\n" + ok(""), "502"}},
      {{"a status of two digits", with_status("20 OK", ""), "502"}},
      {{"a status of four digits", with_status("2000 OK", ""), "502"}},
      {{"a status below 100", with_status("099 OK", ""), "502"}},
      {{"a signed status", with_status("+20 OK", ""), "502"}},
      {{"two spaces before the status", with_status(" 200 OK", ""), "502"}},
      {{"a status line that never ends", "HTTP/1.1 200 " + std::string(9000, 'a'), "502"}},
      {{"too many fields", ok([] {
          std::string fields;
          for (int i = 0; i < 101; ++i) fields += "X: y\r\n";
          return fields;
        }()),
        "502"}},
  };
  return kRows;
}

// A buffer of exactly these bytes, so that the sanitizer sees a read past its end.
struct Exact {
  explicit Exact(std::string_view bytes)
      : data(std::make_unique<char[]>(bytes.size())), size(bytes.size()) {
    std::ranges::copy(bytes, data.get());
  }
  [[nodiscard]] std::string_view view() const { return {data.get(), size}; }
  std::unique_ptr<char[]> data;
  std::size_t size;
};

// The places to cut: everywhere, or about 200 of them in a long input.
std::size_t stride(const std::string& bytes) {
  return std::max<std::size_t>(1, bytes.size() / 200);
}

template <class AnyHead, class Parse>
void expect_row(const Row& row, Parse parse) {
  SCOPED_TRACE(row.sentence);
  {
    const Exact whole(row.bytes);
    ScanState state;
    AnyHead head;
    EXPECT_EQ(outcome_of(parse(whole.view(), state, head), head), row.outcome);
  }
  for (std::size_t cut = 1; cut < row.bytes.size(); cut += stride(row.bytes)) {
    ScanState state;
    AnyHead head;
    const Exact first(std::string_view(row.bytes).substr(0, cut));
    const Exact second(row.bytes);
    Parsed parsed = parse(first.view(), state, head);
    if (parsed.state == Parsed::State::incomplete) parsed = parse(second.view(), state, head);
    ASSERT_EQ(outcome_of(parsed, head), row.outcome) << "cut at " << cut;
  }
  // Byte by byte, in a buffer that moves each time.
  ScanState state;
  AnyHead head;
  Parsed parsed;
  std::unique_ptr<Exact> buffer;
  for (std::size_t size = 1; size <= row.bytes.size() && parsed.state == Parsed::State::incomplete;
       size += row.bytes.size() > 4000 ? 37 : 1) {
    auto next = std::make_unique<Exact>(std::string_view(row.bytes).substr(0, size));
    parsed = parse(next->view(), state, head);
    buffer = std::move(next);
  }
  if (parsed.state == Parsed::State::incomplete) parsed = parse(row.bytes, state, head);
  EXPECT_EQ(outcome_of(parsed, head), row.outcome) << "byte by byte";
}

TEST(RequestHead, EveryRowHasItsOutcomeAtEverySplit) {
  const HeadLimits limits;
  for (const Row& row : request_rows()) {
    expect_row<RequestHead>(row, [&](std::string_view bytes, ScanState& state, RequestHead& head) {
      return parse_request_head(bytes, limits, state, head);
    });
  }
}

TEST(ResponseHead, EveryRowHasItsOutcomeAtEverySplit) {
  const HeadLimits limits;
  for (const ResponseRow& row : response_rows()) {
    expect_row<ResponseHead>(row,
                             [&](std::string_view bytes, ScanState& state, ResponseHead& head) {
                               return parse_response_head(bytes, limits, state, row.method, head);
                             });
  }
}

TEST(RequestHead, EveryRowIsReadBackAsItWasWritten) {
  for (const Row& row : request_rows()) checks::check_request(row.bytes);
  for (const ResponseRow& row : response_rows()) checks::check_response(row.bytes, row.method);
}

TEST(RequestHead, PipelinedRequestsAreReadOneAfterTheOther) {
  const std::string bytes =
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\nCookie: c\r\n\r\n";
  RequestHead head;
  ScanState first;
  const Parsed one = parse_request_head(bytes, {}, first, head);
  ASSERT_EQ(one.state, Parsed::State::complete);
  EXPECT_EQ(head.path, "/1");
  ScanState second;
  const Parsed two = parse_request_head(std::string_view(bytes).substr(one.size), {}, second, head);
  EXPECT_EQ(one.size + two.size, bytes.size());
  EXPECT_EQ(head.path, "/2");
  EXPECT_EQ(head.authority, "b");
  EXPECT_EQ(head.fields.size(), 2U);
  EXPECT_EQ(head.value_of(Name::cookie), "c");
}

TEST(RequestHead, ANewHeadForgetsTheLast) {
  RequestHead head;
  ScanState first;
  ASSERT_EQ(
      parse_request_head(post("Content-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n"),
                         {}, first, head)
          .state,
      Parsed::State::complete);
  ScanState second;
  const std::string next = get("");
  ASSERT_EQ(parse_request_head(next, {}, second, head).state, Parsed::State::complete);
  EXPECT_EQ(shape_of_rest(head), "none keep");
  EXPECT_FALSE(head.expect_continue);
  EXPECT_FALSE(head.has(Name::content_length));
  EXPECT_EQ(head.find(Name::connection), nullptr);
}

TEST(RequestHead, TheQueryIsBehindTheFirstQuestionMark) {
  RequestHead head;
  ScanState state;
  const std::string bytes = target("/a?b?c");
  ASSERT_EQ(parse_request_head(bytes, {}, state, head).state, Parsed::State::complete);
  EXPECT_EQ(head.path, "/a");
  EXPECT_EQ(head.query, "b?c");
}

TEST(RequestHead, PolicyRefusesConnectAndTrace) {
  RequestHead head;
  for (const Method method : {Method::connect, Method::trace}) {
    head.method = method;
    EXPECT_EQ(refusal_by_policy(head).status, 405);
  }
  head.method = Method::get;
  EXPECT_FALSE(refusal_by_policy(head));
}

TEST(RequestHead, TooManyConnectionOptionsAreRefused) {
  std::string options = "Connection: a";
  for (int i = 0; i < 32; ++i) options += ",a";
  RequestHead head;
  ScanState state;
  EXPECT_EQ(parse_request_head(get(options + "\r\n"), {}, state, head).refusal.status, 400);
}

}  // namespace
}  // namespace headroom::http
