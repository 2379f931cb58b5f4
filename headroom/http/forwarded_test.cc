#include "headroom/http/forwarded.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace headroom::http {
namespace {

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

const std::vector<Cidr> kTrusted{*Cidr::parse("10.0.0.0/8"), *Cidr::parse("fd00::/8")};

Head head_of(Name name, std::vector<std::string_view> values) {
  Head head;
  for (const auto value : values) head.add({name, false, to_string(name), value});
  return head;
}

std::string client(std::string_view peer, std::vector<std::string_view> values) {
  return to_string(
      client_address(ip(peer), head_of(Name::x_forwarded_for, std::move(values)), kTrusted));
}
std::string client_of_forwarded(std::string_view peer, std::vector<std::string_view> values) {
  return to_string(client_address(ip(peer), head_of(Name::forwarded, std::move(values)), kTrusted,
                                  ClientHeader::forwarded));
}

TEST(ClientAddress, IsThePeerUnlessThePeerIsTrusted) {
  EXPECT_EQ(client("192.0.2.1", {"1.1.1.1"}), "192.0.2.1");
  EXPECT_EQ(client("10.0.0.1", {}), "10.0.0.1");
  EXPECT_EQ(client("10.0.0.1", {"1.1.1.1"}), "1.1.1.1");
  EXPECT_EQ(client("::ffff:10.0.0.1", {"1.1.1.1"}), "1.1.1.1");
}

TEST(ClientAddress, IsTheFirstUntrustedFromTheRight) {
  EXPECT_EQ(client("10.0.0.1", {"6.6.6.6, 1.1.1.1, 10.0.0.2"}), "1.1.1.1");
  EXPECT_EQ(client("10.0.0.1", {"6.6.6.6", "1.1.1.1", "10.0.0.2 ,fd00::1"}), "1.1.1.1");
  EXPECT_EQ(client("10.0.0.1", {"10.0.0.3, 10.0.0.2"}), "10.0.0.3");
}

TEST(ClientAddress, StopsAtWhatIsNoAddress) {
  EXPECT_EQ(client("10.0.0.1", {"1.1.1.1, unknown, 10.0.0.2"}), "10.0.0.2");
  EXPECT_EQ(client("10.0.0.1", {"1.1.1.1, "}), "10.0.0.1");
  EXPECT_EQ(client("10.0.0.1", {"1.1.1.1.evil"}), "10.0.0.1");
  EXPECT_EQ(client("10.0.0.1", {"010.1.1.1"}), "10.0.0.1");
}

TEST(ClientAddress, MayComeWithAPort) {
  EXPECT_EQ(client("10.0.0.1", {"1.1.1.1:99"}), "1.1.1.1");
  EXPECT_EQ(client("10.0.0.1", {"[2001:db8::1]:99"}), "2001:db8::1");
  EXPECT_EQ(client("10.0.0.1", {"2001:db8::1"}), "2001:db8::1");
}

TEST(ClientAddress, IsReadFromForwarded) {
  EXPECT_EQ(client_of_forwarded("10.0.0.1", {"for=1.1.1.1"}), "1.1.1.1");
  EXPECT_EQ(client_of_forwarded("10.0.0.1",
                                {"for=6.6.6.6, for=\"[2001:db8::1]:4711\";proto=http;by=10.0.0.9, "
                                 "proto=http;For=10.0.0.2"}),
            "2001:db8::1");
  EXPECT_EQ(client_of_forwarded("10.0.0.1", {"for=6.6.6.6;host=\"a, for=7.7.7.7\""}), "6.6.6.6");
  EXPECT_EQ(client_of_forwarded("10.0.0.1", {"for=1.1.1.1, for=_hidden"}), "10.0.0.1");
  EXPECT_EQ(client_of_forwarded("10.0.0.1", {"for=1.1.1.1, proto=http"}), "10.0.0.1");
  EXPECT_EQ(client_of_forwarded("10.0.0.1", {"for=\"1.1.1.1"}), "10.0.0.1");
  EXPECT_EQ(client_of_forwarded("192.0.2.1", {"for=1.1.1.1"}), "192.0.2.1");
}

TEST(ClientAddress, OfALongForwardedChainIsCountedFromTheRight) {
  std::string chain = "for=6.6.6.6";
  for (int i = 0; i < 100; ++i) chain += ", for=10.0.0.2";
  EXPECT_EQ(client_of_forwarded("10.0.0.1", {chain}), "10.0.0.2");
}

TEST(OutgoingFields, ContinueOnlyWhatTheCallerTrusts) {
  const Head received = head_of(Name::x_forwarded_for, {"1.1.1.1", "2.2.2.2"});
  std::string out;
  append_x_forwarded_for(out, &received, ip("10.0.0.1"));
  EXPECT_EQ(out, "1.1.1.1, 2.2.2.2, 10.0.0.1");
  out.clear();
  append_x_forwarded_for(out, nullptr, ip("2001:db8::1"));
  EXPECT_EQ(out, "2001:db8::1");
}

TEST(OutgoingFields, QuoteWhatIsNoToken) {
  std::string out;
  append_forwarded(out, nullptr, {ip("2001:db8::1"), "a:8080", "https"});
  EXPECT_EQ(out, "for=\"[2001:db8::1]\";host=\"a:8080\";proto=https");
  out.clear();
  const Head received = head_of(Name::forwarded, {"for=1.1.1.1"});
  append_forwarded(out, &received, {ip("10.0.0.1"), "", "http"});
  EXPECT_EQ(out, "for=1.1.1.1, for=10.0.0.1;proto=http");
}

TEST(OutgoingFields, ViaNamesTheVersionReceived) {
  Head received = head_of(Name::via, {"1.1 other"});
  received.minor_version = 0;
  std::string out;
  append_via(out, received, "headroom");
  EXPECT_EQ(out, "1.1 other, 1.0 headroom");
}

}  // namespace
}  // namespace headroom::http
