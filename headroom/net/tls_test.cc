#include "headroom/net/tls.h"

#include <gmock/gmock.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "headroom/base/hash.h"
#include "headroom/net/authority_fixture.h"
#include "headroom/net/net_fixture.h"

namespace headroom::net {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::shared_ptr<const TlsTicketKeys> fresh_keys() {
  return std::make_shared<const TlsTicketKeys>(TlsTicketKeys::fresh());
}

// What came of a handshake, with one byte sent each way behind it.
struct Outcome {
  Result<> server = fail(Errc::internal, "not run");
  Result<> client = fail(Errc::internal, "not run");
  std::string subject;  // of the certificate that the client saw
  std::string version;
  std::string alpn;
  bool resumed = false;
};

class TlsTest : public NetTest {
 protected:
  static constexpr std::size_t kWorkers = 2;

  std::shared_ptr<const TlsServer> server(
      TlsServerOptions options, std::shared_ptr<const TlsTicketKeys> keys = fresh_keys()) {
    if (options.certificates.empty()) options.certificates = {a_};
    auto made = TlsServer::make(options, kWorkers, keys);
    EXPECT_TRUE(made) << made.error().message;
    return *made;
  }
  std::shared_ptr<const TlsClient> client(TlsClientOptions options) {
    if (options.ca.empty()) options.ca = ca_.ca();
    auto made = TlsClient::make(options, kWorkers);
    EXPECT_TRUE(made) << made.error().message;
    return *made;
  }

  Outcome shake(SSL_CTX* server, SSL_CTX* client, std::string name = "a.test", std::size_t on = 0) {
    Outcome outcome;
    run(
        [&](TaskGroup& group) -> Task<> {
          Pair pair(group);
          pair.client.expire_at(Clock::now() + 5s);
          pair.server.expire_at(Clock::now() + 5s);
          auto serve = [&]() -> Task<> {
            outcome.server = co_await serve_one(pair.server, server);
            if (!outcome.server) pair.server.close();
          };
          EXPECT_TRUE(group.spawn(serve));
          outcome.client = co_await ask_one(pair.client, client, name, outcome);
          pair.client.finish_writing();
          co_await group.join();
        },
        on);
    return outcome;
  }

  static Task<Result<>> serve_one(Stream& stream, SSL_CTX* context) {
    if (auto shaken = co_await stream.accept_tls(context); !shaken) co_return shaken;
    auto byte = co_await read_bytes(stream, 1);
    if (!byte) co_return pass(byte);
    co_return co_await stream.write(*byte);
  }
  static Task<Result<>> ask_one(Stream& stream, SSL_CTX* context, const std::string& name,
                                Outcome& outcome) {
    if (auto shaken = co_await stream.connect_tls(context, name); !shaken) co_return shaken;
    describe(stream.tls(), outcome);
    if (auto sent = co_await stream.write("x"); !sent) co_return sent;
    auto byte = co_await read_bytes(stream, 1);
    if (!byte) co_return pass(byte);
    if (*byte != "x") co_return fail(Errc::protocol, "no echo");
    co_return Result<>{};
  }
  static void describe(SSL* tls, Outcome& outcome) {
    char subject[256] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(tls)), NID_commonName,
                              subject, sizeof subject);
    outcome.subject = subject;
    outcome.version = SSL_get_version(tls);
    outcome.resumed = SSL_session_reused(tls) == 1;
    const unsigned char* alpn = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(tls, &alpn, &size);
    outcome.alpn.assign(reinterpret_cast<const char*>(alpn), size);
  }

  Authority ca_{"Test authority"};
  TlsCertificate a_ = ca_.issue("a", "DNS:a.test,DNS:localhost,IP:127.0.0.1");
};

Task<> send_small_pieces(Stream& stream, const std::string& data, Random& random) {
  for (std::size_t at = 0; at < data.size();) {
    Gather pieces;
    for (int i = 0; i < 5 && at < data.size(); ++i) {
      const std::string_view piece =
          std::string_view(data).substr(at, 1 + random.below(i == 3 ? 40'000 : 300));
      pieces.add(piece);
      at += piece.size();
    }
    auto written = co_await stream.write(pieces);
    EXPECT_TRUE(written) << written.error().message;
    if (!written) co_return;
  }
  stream.finish_writing();
}

TEST_F(TlsTest, TenMegabytesInSmallPiecesPassBothWaysAtOnceAndEndCleanly) {
  auto tls_server = server({});
  auto tls_client = client({});
  Random random(7);
  std::string up;
  std::string down;
  for (int i = 0; i < 10 * 1024 * 1024 / 8; ++i) {
    const std::uint64_t word = random.next();
    up.append(reinterpret_cast<const char*>(&word), sizeof word);
    down.insert(down.end(), 8, static_cast<char>(word));
  }
  run([&](TaskGroup& group) -> Task<> {
    Pair pair(group);
    auto serve = [&]() -> Task<> {
      auto shaken = co_await pair.server.accept_tls(tls_server->context(0));
      EXPECT_TRUE(shaken) << shaken.error().message;
      auto send = [&]() -> Task<> { co_await send_small_pieces(pair.server, down, random); };
      EXPECT_TRUE(group.spawn(send));
      auto got = co_await read_bytes(pair.server, up.size() + 1);
      EXPECT_TRUE(got && *got == up);
    };
    EXPECT_TRUE(group.spawn(serve));
    auto shaken = co_await pair.client.connect_tls(tls_client->context(0), "a.test");
    EXPECT_TRUE(shaken) << shaken.error().message;
    auto send = [&]() -> Task<> { co_await send_small_pieces(pair.client, up, random); };
    EXPECT_TRUE(group.spawn(send));
    auto got = co_await read_bytes(pair.client, down.size() + 1);
    EXPECT_TRUE(got && *got == down);
    co_await group.join();
  });
}

// What OpenSSL has taken from the socket and not given yet makes no event.
TEST_F(TlsTest, RecordsLargerThanTheBufferAreReadThoughNothingMoreComes) {
  auto tls_server = server({});
  auto tls_client = client({});
  std::string data;
  for (std::size_t i = 0; i < (3U << 14U) + 5; ++i) data.push_back(static_cast<char>(i * 7));
  for (const std::size_t room : {1UL, 100UL, 16383UL, 16385UL, 100000UL}) {
    run([&](TaskGroup& group) -> Task<> {
      Pair pair(group);
      pair.server.expire_at(Clock::now() + 20s);
      auto serve = [&]() -> Task<> {
        EXPECT_TRUE(co_await pair.server.accept_tls(tls_server->context(0)));
        std::string all;
        std::string piece(room, '\0');
        while (all.size() < data.size()) {
          const std::span<char> into(piece);
          auto read = co_await pair.server.read_some(into);
          EXPECT_TRUE(read) << room << ": after " << all.size() << ": " << read.error().message;
          if (!read) co_return;
          all.append(piece, 0, *read);
        }
        EXPECT_TRUE(all == data);
        Buffer in(group.worker().buffers());
        auto last = co_await pair.server.read_into(in, room);
        EXPECT_EQ(last.value_or(1), 0U);
      };
      EXPECT_TRUE(group.spawn(serve));
      EXPECT_TRUE(co_await pair.client.connect_tls(tls_client->context(0), "a.test"));
      EXPECT_TRUE(co_await pair.client.write(data));
      co_await sleep(group, 40ms);
      pair.client.finish_writing();
      co_await group.join();
    });
  }
}

TEST_F(TlsTest, TheCertificateIsChosenByExactNameThenByWildcardElseTheFirst) {
  auto b = ca_.issue("b", "DNS:b.test,DNS:*.wild.test");
  auto c = ca_.issue("c", "DNS:exact.wild.test");
  auto tls_server = server({.certificates = {a_, b, c}});
  auto any_name = client({.verify = false});
  const std::vector<std::pair<std::string, std::string>> table{
      {"a.test", "a"},        {"b.test", "b"},          {"B.TEST", "b"},
      {"x.wild.test", "b"},   {"exact.wild.test", "c"}, {"wild.test", "a"},
      {"y.x.wild.test", "a"}, {"unknown.test", "a"},    {"127.0.0.1", "a"}};
  for (const auto& [name, expected] : table) {
    const Outcome outcome = shake(tls_server->context(1), any_name->context(0), name);
    ASSERT_TRUE(outcome.client) << name << ": " << outcome.client.error().message;
    EXPECT_EQ(outcome.subject, expected) << name;
  }
  EXPECT_THAT(tls_server->certificates()[1].names, ElementsAre("b.test", "*.wild.test"));
}

TEST_F(TlsTest, Tls13IsUsedTls12IsAcceptedAndTls11Refused) {
  auto tls_server = server({});
  auto tls_client = client({});
  const Outcome newest = shake(tls_server->context(0), tls_client->context(0));
  EXPECT_EQ(newest.version, "TLSv1.3");
  EXPECT_EQ(newest.alpn, "http/1.1");

  auto older = client({});
  SSL_CTX_set_max_proto_version(older->context(0), TLS1_2_VERSION);
  EXPECT_EQ(shake(tls_server->context(0), older->context(0)).version, "TLSv1.2");
  auto strict = server({.min_version = TlsVersion::v1_3});
  EXPECT_FALSE(shake(strict->context(0), older->context(0)).server);

  auto oldest = client({});
  SSL_CTX_set_min_proto_version(oldest->context(0), TLS1_1_VERSION);
  SSL_CTX_set_max_proto_version(oldest->context(0), TLS1_1_VERSION);
  SSL_CTX_set_cipher_list(oldest->context(0), "ALL:@SECLEVEL=0");
  const Outcome refused = shake(tls_server->context(0), oldest->context(0));
  ASSERT_FALSE(refused.server);
  EXPECT_EQ(refused.server.error().code, Errc::protocol);
  EXPECT_THAT(refused.server.error().message, HasSubstr("unsupported protocol"));
}

TEST_F(TlsTest, AClientThatOffersOnlyOtherProtocolsIsRefused) {
  auto tls_server = server({});
  auto h2_only = client({.alpn = {"h2"}});
  EXPECT_FALSE(shake(tls_server->context(0), h2_only->context(0)).client);
}

TEST_F(TlsTest, ATicketOfOneWorkerResumesOnAnotherAndAfterAReloadAndARotationAndInAnotherProcess) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto keys = fresh_keys();
    auto first = server({}, keys);
    auto tls_client = client({});
    SSL_CTX_set_max_proto_version(tls_client->context(0), version);
    const auto resumes = [&](SSL_CTX* on) { return shake(on, tls_client->context(0)).resumed; };

    EXPECT_FALSE(resumes(first->context(0)));
    EXPECT_TRUE(resumes(first->context(1)));
    EXPECT_TRUE(resumes(server({}, keys)->context(0)));
    auto rotated = std::make_shared<const TlsTicketKeys>(keys->rotated());
    EXPECT_TRUE(resumes(server({}, rotated)->context(0)));
    auto handed_over = TlsTicketKeys::parse(rotated->bytes());
    ASSERT_TRUE(handed_over);
    EXPECT_TRUE(
        resumes(server({}, std::make_shared<const TlsTicketKeys>(*handed_over))->context(0)));
    EXPECT_FALSE(resumes(server({}, fresh_keys())->context(0)));
  }
}

TEST_F(TlsTest, AKeyFallsOutAfterThreeRotations) {
  auto keys = TlsTicketKeys::fresh();
  auto tls_client = client({});
  auto first = server({}, std::make_shared<const TlsTicketKeys>(keys));
  EXPECT_FALSE(shake(first->context(0), tls_client->context(0)).resumed);
  auto third = keys.rotated().rotated().rotated();
  EXPECT_FALSE(shake(server({}, std::make_shared<const TlsTicketKeys>(third))->context(0),
                     tls_client->context(0))
                   .resumed);
  EXPECT_FALSE(TlsTicketKeys::parse("short"));
}

TEST_F(TlsTest, ClientCertificatesAreRequiredRequestedAndChecked) {
  Authority other("Another authority");
  auto good = client({.client = ca_.issue("user", "DNS:user.test")});
  auto none = client({});
  auto wrong = client({.client = other.issue("user", "DNS:user.test")});
  auto required =
      server({.client_certificates = TlsClientCertificates::require, .client_ca = ca_.ca()});
  auto requested =
      server({.client_certificates = TlsClientCertificates::request, .client_ca = ca_.ca()});

  EXPECT_TRUE(shake(required->context(0), good->context(0)).server);
  EXPECT_TRUE(shake(requested->context(0), good->context(0)).server);
  EXPECT_TRUE(shake(requested->context(0), none->context(0)).server);
  const auto absent = shake(required->context(0), none->context(0)).server;
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, Errc::unauthorized);
  EXPECT_THAT(absent.error().message, HasSubstr("did not return a certificate"));
  for (const auto& asking : {required, requested}) {
    const auto foreign = shake(asking->context(0), wrong->context(0)).server;
    ASSERT_FALSE(foreign);
    EXPECT_EQ(foreign.error().code, Errc::unauthorized);
  }
}

TEST_F(TlsTest, ATicketFromBeforeClientCertificatesWereRequiredDoesNotGetAroundThem) {
  auto keys = fresh_keys();
  auto none = client({});
  ASSERT_TRUE(shake(server({}, keys)->context(0), none->context(0)).server);
  auto required =
      server({.client_certificates = TlsClientCertificates::require, .client_ca = ca_.ca()}, keys);
  EXPECT_FALSE(shake(required->context(0), none->context(0)).server);
}

TEST_F(TlsTest, AnUpstreamWithAnotherNameOrAnUnknownAuthorityIsRefusedWithTheReason) {
  auto tls_server = server({});
  auto known = client({});
  const auto reason = [&](SSL_CTX* context, std::string name) {
    const auto outcome = shake(tls_server->context(0), context, std::move(name)).client;
    return outcome ? "accepted" : outcome.error().message;
  };
  EXPECT_EQ(reason(known->context(0), "a.test"), "accepted");
  EXPECT_EQ(reason(known->context(0), "127.0.0.1"), "accepted");
  EXPECT_THAT(reason(known->context(0), "b.test"), HasSubstr("hostname mismatch"));
  EXPECT_THAT(reason(known->context(0), "127.0.0.2"), HasSubstr("IP address mismatch"));
  Authority other("Another authority");
  auto unknown = client({.ca = other.ca()});
  EXPECT_THAT(reason(unknown->context(0), "a.test"),
              HasSubstr("self-signed certificate in certificate chain"));
  auto trusting = client({.verify = false});
  EXPECT_EQ(reason(trusting->context(0), "b.test"), "accepted");
}

TEST_F(TlsTest, ASilentHandshakeEndsAtItsDeadline) {
  auto tls_server = server({});
  run([&](TaskGroup& group) -> Task<> {
    Pair pair(group);
    pair.server.expire_at(Clock::now() + 50ms);
    const TimePoint began = Clock::now();
    auto shaken = co_await pair.server.accept_tls(tls_server->context(0));
    EXPECT_EQ(shaken.error().code, Errc::timeout);
    EXPECT_LT(elapsed(began, Clock::now()), 2s);
  });
}

TEST_F(TlsTest, GarbageInsteadOfAHandshakeEndsItAndTheNextConnectionWorks) {
  auto tls_server = server({});
  auto tls_client = client({});
  const std::vector<std::string> garbage{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", std::string(64, '\0'),
                                         "\x16\x03\x01\xff\xff" + std::string(70'000, 'x'),
                                         std::string("\x16\x03\x01\x00\x05hello", 10)};
  for (const std::string& bytes : garbage) {
    run([&](TaskGroup& group) -> Task<> {
      Pair pair(group);
      pair.server.expire_at(Clock::now() + 2s);
      auto sent = pair.client.write(bytes);
      auto send = [&]() -> Task<> { (void)co_await std::move(sent); };
      EXPECT_TRUE(group.spawn(send));
      auto shaken = co_await pair.server.accept_tls(tls_server->context(0));
      EXPECT_FALSE(shaken);
      EXPECT_EQ(shaken.error().code, Errc::protocol) << shaken.error().message;
      pair.server.finish_writing();
      pair.server.close();
      pair.client.abort(Errc::cancelled);
      co_await group.join();
    });
    EXPECT_TRUE(shake(tls_server->context(0), tls_client->context(0)).client);
  }
}

TEST_F(TlsTest, BytesReadBeforeTheHandshakeBelongToIt) {
  auto tls_server = server({});
  auto tls_client = client({});
  run([&](TaskGroup& group) -> Task<> {
    Pair pair(group);
    auto ask = [&]() -> Task<> {
      Outcome outcome;
      outcome.client = co_await ask_one(pair.client, tls_client->context(0), "a.test", outcome);
      EXPECT_TRUE(outcome.client);
    };
    EXPECT_TRUE(group.spawn(ask));
    std::array<char, 100> first{};
    const std::span<char> room(first);
    auto read = co_await pair.server.read_some(room);
    auto shaken = co_await pair.server.accept_tls(tls_server->context(0), {first.data(), *read});
    EXPECT_TRUE(shaken) << shaken.error().message;
    auto byte = co_await read_bytes(pair.server, 1);
    EXPECT_TRUE(byte);
    EXPECT_TRUE(co_await pair.server.write(*byte));
    co_await group.join();
  });
}

// Runs `then(pair)` behind a finished handshake, tickets read.
struct Shaken {
  static Task<> make(TaskGroup& group, Pair& pair, SSL_CTX* server, SSL_CTX* client) {
    auto accept = [&pair, server]() -> Task<> {
      EXPECT_TRUE(co_await pair.server.accept_tls(server));
      EXPECT_TRUE(co_await pair.server.write("!"));
    };
    EXPECT_TRUE(group.spawn(accept));
    EXPECT_TRUE(co_await pair.client.connect_tls(client, "a.test"));
    auto byte = co_await read_bytes(pair.client, 1);
    EXPECT_TRUE(byte);
    co_await group.join();
  }
};

TEST_F(TlsTest, AnEndWithoutCloseNotifyIsAnErrorAndOneWithItIsTheEnd) {
  auto tls_server = server({});
  auto tls_client = client({});
  for (const bool clean : {true, false}) {
    run([&](TaskGroup& group) -> Task<> {
      Pair pair(group);
      co_await Shaken::make(group, pair, tls_server->context(0), tls_client->context(0));
      if (clean) {
        pair.client.finish_writing();
      } else {
        ::shutdown(pair.client.native(), SHUT_WR);
      }
      auto rest = co_await read_bytes(pair.server, 1);
      EXPECT_EQ(rest.has_value(), clean);
      if (!rest) {
        EXPECT_EQ(rest.error().code, Errc::unavailable);
      }
      // The other direction still works.
      if (clean) {
        EXPECT_TRUE(co_await pair.server.write("bye"));
        auto last = co_await read_bytes(pair.client, 3);
        EXPECT_EQ(last.value_or("nothing"), "bye");
      }
    });
  }
}

TEST_F(TlsTest, WritingToAPeerThatHasGoneIsAnErrorAndNoSignal) {
  auto tls_server = server({});
  auto tls_client = client({});
  run([&](TaskGroup& group) -> Task<> {
    Pair pair(group);
    co_await Shaken::make(group, pair, tls_server->context(0), tls_client->context(0));
    const linger reset{1, 0};
    setsockopt(pair.client.native(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    pair.client.close();
    const std::string data(1 << 20, 'x');
    auto first = co_await pair.server.write(data);
    EXPECT_FALSE(first);
    EXPECT_EQ(first.error().code, Errc::unavailable) << first.error().message;
    auto second = co_await pair.server.write(data);
    EXPECT_FALSE(second);
    pair.server.finish_writing();
  });
}

TEST_F(TlsTest, ATimedOutReadLeavesTheStreamWritableButATimedOutWriteIsFinal) {
  auto tls_server = server({});
  auto tls_client = client({});
  run([&](TaskGroup& group) -> Task<> {
    Pair pair(group);
    co_await Shaken::make(group, pair, tls_server->context(0), tls_client->context(0));
    pair.server.expire_at(Clock::now() + 40ms);
    auto nothing = co_await read_bytes(pair.server, 1);
    EXPECT_EQ(nothing.error().code, Errc::timeout);
    pair.server.expire_at(Clock::now() + 5s);
    EXPECT_TRUE(co_await pair.server.write("late"));
    auto late = co_await read_bytes(pair.client, 4);
    EXPECT_EQ(late.value_or("nothing"), "late");

    const std::string more(32U << 20U, 'x');  // nobody reads it
    pair.server.expire_at(Clock::now() + 100ms);
    EXPECT_EQ((co_await pair.server.write(more)).error().code, Errc::timeout);
    pair.server.expire_at(Clock::now() + 5s);
    EXPECT_EQ((co_await pair.server.write("error page")).error().code, Errc::timeout);
  });
}

TEST_F(TlsTest, AnIdleConnectionWithUnreadTicketsIsIdleAndOpen) {
  auto tls_server = server({});
  auto tls_client = client({});
  run([&](TaskGroup& group) -> Task<> {
    Pair pair(group);
    auto accept = [&]() -> Task<> {
      EXPECT_TRUE(co_await pair.server.accept_tls(tls_server->context(0)));
    };
    EXPECT_TRUE(group.spawn(accept));
    EXPECT_TRUE(co_await pair.client.connect_tls(tls_client->context(0), "a.test"));
    co_await group.join();
    EXPECT_TRUE(co_await pair.client.wait_readable());  // the tickets
    EXPECT_TRUE(pair.client.idle_and_open());
    EXPECT_TRUE(co_await pair.server.write("unasked"));
    EXPECT_TRUE(co_await pair.client.wait_readable());
    EXPECT_FALSE(pair.client.idle_and_open());
    auto all = co_await read_bytes(pair.client, 7);
    EXPECT_TRUE(pair.client.idle_and_open());
    pair.server.finish_writing();
    EXPECT_TRUE(co_await pair.client.wait_readable());
    EXPECT_FALSE(pair.client.idle_and_open());
  });
}

TEST_F(TlsTest, AReplacedServerMayEndWhileItsConnectionsGoOn) {
  auto tls_server = server({});
  auto tls_client = client({});
  run([&](TaskGroup& group) -> Task<> {
    Pair pair(group);
    auto accept = [&]() -> Task<> {
      auto shaken = co_await pair.server.accept_tls(tls_server->context(0));
      EXPECT_TRUE(shaken);
    };
    EXPECT_TRUE(group.spawn(accept));
    // Ends in the middle of the handshake: tickets are still to be sealed.
    co_await sleep(group, 1ms);
    tls_server.reset();
    EXPECT_TRUE(co_await pair.client.connect_tls(tls_client->context(0), "a.test"));
    co_await group.join();
    EXPECT_TRUE(co_await pair.server.write("still here"));
    auto got = co_await read_bytes(pair.client, 10);
    EXPECT_EQ(got.value_or(""), "still here");
  });
}

TEST_F(TlsTest, UnusableFilesAreRefusedWithTheirPath) {
  auto b = ca_.issue("b", "DNS:b.test");
  const std::string junk = ca_.path("junk.pem");
  std::ofstream(junk) << "no PEM at all";
  const std::string broken_chain = ca_.path("broken.pem");
  std::ofstream(broken_chain) << std::ifstream(a_.cert).rdbuf()
                              << "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  struct Case {
    TlsCertificate files;
    Errc code;
    std::string message;
  };
  const std::vector<Case> table{
      {{ca_.path("none.crt"), a_.key}, Errc::not_found, "none.crt: No such file"},
      {{a_.cert, ca_.path("none.key")}, Errc::not_found, "none.key: No such file"},
      {{junk, a_.key}, Errc::invalid, "junk.pem: holds no certificate"},
      {{broken_chain, a_.key}, Errc::invalid, "broken.pem: its chain"},
      {{a_.cert, junk}, Errc::invalid, "junk.pem: holds no private key"},
      {{a_.cert, b.key}, Errc::invalid, "b.key: is not the key of " + a_.cert},
  };
  for (const Case& row : table) {
    auto made = TlsServer::make({.certificates = {row.files}}, 1, fresh_keys());
    ASSERT_FALSE(made) << row.message;
    EXPECT_EQ(made.error().code, row.code) << made.error().message;
    EXPECT_THAT(made.error().message, HasSubstr(row.message));
  }
  auto without_ca =
      TlsServer::make({.certificates = {a_}, .client_certificates = TlsClientCertificates::require},
                      1, fresh_keys());
  EXPECT_EQ(without_ca.error().code, Errc::invalid);
  EXPECT_EQ(TlsServer::make({}, 1, fresh_keys()).error().code, Errc::invalid);
}

TEST_F(TlsTest, AnExpiredCertificateServesWithAWarning) {
  auto old = ca_.issue("old", "DNS:old.test", -1);
  ::testing::internal::CaptureStderr();
  auto tls_server = server({.certificates = {old}});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("old.crt has expired 24 hours ago"));
  auto tls_client = client({});
  const auto outcome = shake(tls_server->context(0), tls_client->context(0), "old.test").client;
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("certificate has expired"));
}

}  // namespace
}  // namespace headroom::net
