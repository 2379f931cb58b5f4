#include "headroom/edge/checker.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "headroom/base/assert.h"

namespace headroom::edge {
namespace {

// Name servers that never answer: a bound socket that nobody reads.
class Silence {
 public:
  Silence() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const net::Endpoint at = net::Endpoint::literal("127.0.0.1", 0).value();
    HR_ASSERT(::bind(fd_, at.data(), at.size()) == 0);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  ~Silence() { ::close(fd_); }
  [[nodiscard]] std::string address() const { return net::Endpoint::local_of(fd_).to_string(); }

 private:
  int fd_;
};

class Names : public testing::Test {
 protected:
  Names() { workers_.start(); }

  std::shared_ptr<const View> view_of(std::vector<std::string> servers) {
    auto options = std::make_shared<EdgeOptions>(edge_section().defaults());
    options->app = std::move(servers);
    auto view = make_view(options, nullptr, nullptr, nullptr, 1, registry_).value();
    place_literals(*view);
    return view;
  }

  // Whether all names have been answered within `most`.
  bool answered(const std::shared_ptr<const View>& view, Duration patience, Duration most) {
    net::Resolver resolver(silence_.address(), patience);
    std::optional<Checker> checker;
    workers_[0].run_and_wait([&] { checker.emplace(workers_[0], resolver).watch(view); });
    const bool all = checker->wait_for_names(most);
    checker->stop_and_join();
    workers_[0].run_and_wait([&] { checker.reset(); });
    return all;
  }

  Silence silence_;
  metrics::Registry registry_{1};
  net::Workers workers_{1};
};

TEST_F(Names, WithoutNamesThereIsNothingToWaitFor) {
  EXPECT_TRUE(answered(view_of({"http://127.0.0.1:1", "http://[::1]:1"}), 60s, 0s));
}

TEST_F(Names, TheWaitEndsWithTheLastAnswerThoughItIsAFailure) {
  const auto view = view_of({"http://127.0.0.1:1", "http://one.test:1", "http://two.test:1"});
  EXPECT_TRUE(answered(view, 50ms, 60s));
  for (const auto& server : view->pools[0]->group.servers()) {
    EXPECT_EQ(server->endpoints() != nullptr, server->spec().host == "127.0.0.1");
  }
}

TEST_F(Names, ItEndsWhenTheTimeIsOver) {
  EXPECT_FALSE(answered(view_of({"http://one.test:1"}), 300ms, 1ms));
}

TEST_F(Names, ANameThatKeepsItsAddressIsNotWaitedFor) {
  const auto view = view_of({"http://one.test:1"});
  view->pools[0]->group.servers()[0]->set_endpoints(
      {net::Endpoint::literal("127.0.0.1", 1).value()}, {});
  EXPECT_TRUE(answered(view, 100ms, 0s));
}

}  // namespace
}  // namespace headroom::edge
