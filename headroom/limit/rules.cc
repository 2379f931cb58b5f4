#include "headroom/limit/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

#include "headroom/limit/rule.h"
#include "headroom/limit/users.h"
#include "headroom/limit/who.h"

namespace headroom::limit {

// One rule's say about one request.
struct Claim {
  const Rule* rule;
  Subjects::Shard* shard;
  std::uint64_t key;
  std::uint64_t cost;
  Subjects::Slot* slot;
  Standing standing;
  std::uint64_t limit;
  Who::By by;
  std::uint8_t tier;

  [[nodiscard]] const Budget& budget() const { return rule->counters->subjects.budget(tier); }
  [[nodiscard]] bool refuses() const { return !standing.allowed && rule->enforced(); }

  void check(TimePoint now) {
    look(now, cost);
    limit = budget().limit();
    if (rule->kind == SubjectKind::all && tier != 0) add_common(now);
  }

  void take(const Who& who, std::size_t worker, TimePoint now) {
    Subjects::Shard::Room room{};
    const std::string label = slot == nullptr || slot->shared ? who.label(by) : std::string();
    slot = &shard->settle(slot, {.key = key, .label = label, .tier = tier}, now, room);
    if (room == Subjects::Shard::Room::evicted) rule->evicted.at(worker).add();
    budget().take(slot->state(), now, cost);
    shard->used(*slot);
    count(slot->allowed);
    if (slot->shared) rule->shared.at(worker).add();
  }

  static void count(std::uint32_t& counter) { counter += counter != UINT32_MAX ? 1 : 0; }

 private:
  void look(TimePoint now, std::uint64_t wanted) {
    slot = shard->find({.key = key, .tier = tier}, now);
    standing = budget().check(slot == nullptr ? nullptr : slot->state(), now, wanted);
  }

  // A tier that has used up its own part goes on with what no tier keeps.
  void add_common(TimePoint now) {
    Claim common = *this;
    common.key = common.tier = 0;
    common.look(now, standing.allowed ? 0 : cost);
    common.limit += limit;
    common.standing.remaining += standing.remaining;
    limit += common.budget().limit();
    if (standing.allowed) {
      standing.remaining = common.standing.remaining;
      return;
    }
    common.limit = limit;
    if (budget().limit() > 0)
      common.standing.retry_after = std::min(common.standing.retry_after, standing.retry_after);
    *this = common;
  }
};

class Rules::Claims {
 public:
  explicit Claims(Who& asking) : who(asking) {}

  void add(const Claim& claim) {
    new (space_.data() + size_++ * sizeof(Claim)) Claim(claim);
    for (std::size_t at = size_ - 1; at > 0 && all()[at].shard < all()[at - 1].shard; --at)
      std::swap(all()[at], all()[at - 1]);
  }
  [[nodiscard]] std::span<Claim> all() {
    return {std::launder(reinterpret_cast<Claim*>(space_.data())), size_};
  }

  // All their shards, in one order for everybody.
  class Lock {
   public:
    explicit Lock(Claims& claims) : claims_(claims) {
      for (Claim& claim : claims_.all()) claim.shard->mutex.lock();
    }
    ~Lock() {
      for (Claim& claim : claims_.all()) claim.shard->mutex.unlock();
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    Claims& claims_;
  };

  // Whether a rule refuses. Under the lock.
  [[nodiscard]] bool refused(TimePoint now) {
    bool any = false;
    for (Claim& claim : all()) {
      claim.check(now);
      any = any || claim.refuses();
    }
    return any;
  }

  Who& who;

 private:
  // One for each rule and that of address_rate; left as it is until it is used.
  alignas(Claim) std::array<std::byte, (kMostRules + 1) * sizeof(Claim)> space_;
  std::size_t size_ = 0;
};

Rules::Rules() = default;
Rules::~Rules() = default;

Result<std::shared_ptr<const Rules>> Rules::make(const LimitOptions& options, const Rules* before,
                                                 metrics::Registry& registry) {
  std::shared_ptr<Rules> made(new Rules);
  made->key_ = before != nullptr ? before->key_ : random_hash_key();
  made->fields_ = options.headers;
  made->tier_header_ = options.tier_header;
  auto users = Users::make(options, registry);
  if (!users) return pass(users);
  made->users_ = std::move(*users);
  if (!options.enabled) return made;
  if (options.address_rate) {
    RuleOptions all = rule_section().defaults();
    all.name = "address_rate";
    all.subject = "address";
    all.rate = options.address_rate;
    made->add(all, before, registry);
  }
  for (const RuleOptions& rule : options.rules) made->add(with_preset(rule), before, registry);
  return made;
}

void Rules::add(const RuleOptions& options, const Rules* before, metrics::Registry& registry) {
  std::shared_ptr<Counters> counters;
  for (const auto& old :
       before == nullptr ? std::span<const std::unique_ptr<Rule>>{} : std::span(before->rules_)) {
    if (Counters::same(old->options, options)) counters = old->counters;
  }
  if (!counters) counters = std::make_shared<Counters>(options, registry);
  auto rule = std::make_unique<Rule>(options, std::move(counters), registry);
  const auto behind =
      rule->needs_user()
          ? rules_.end()
          : std::ranges::find_if(rules_, [](const auto& r) { return r->needs_user(); });
  rules_.insert(behind, std::move(rule));
}

Decision Rules::decide(const Asked& asked, std::size_t worker, TimePoint now) const {
  Who who(key_, *users_, tier_header_, asked, worker);
  Claims claims(who);
  bool before_users = true;
  for (const auto& rule : rules_) {
    if (!rule->matches(asked)) continue;
    if (before_users && rule->needs_user()) {
      before_users = false;
      if (!claims.all().empty() && who.must_verify()) {
        const Claims::Lock lock(claims);
        if (claims.refused(now)) return refuse(claims, worker);
      }
    }
    claim(*rule, who, asked, claims);
  }
  const Claims::Lock lock(claims);
  if (claims.refused(now)) return refuse(claims, worker);
  Decision decision;
  allow(claims, decision, worker, now);
  return decision;
}

void Rules::claim(const Rule& rule, Who& who, const Asked& asked, Claims& claims) const {
  const Who::Name name = who.name_for(rule);
  Claim claim{};
  claim.rule = &rule;
  claim.shard = &rule.counters->subjects.shard(name.key);
  claim.key = name.key;
  claim.cost = rule.cost_of(asked);
  claim.by = name.by;
  claim.tier = name.tier;
  claims.add(claim);
}

Decision Rules::refuse(Claims& claims, std::size_t worker) const {
  Decision decision;
  decision.allowed_ = false;
  decision.fields_ = fields_;
  for (Claim& claim : claims.all()) {
    if (!claim.standing.allowed) {
      (claim.rule->enforced() ? claim.rule->refused : claim.rule->shadow_refused).at(worker).add();
      if (claim.slot != nullptr) Claim::count(claim.slot->refused);
    } else {
      claim.standing.remaining += claim.cost;  // nothing is used up
    }
    if (claim.rule->enforced())
      decision.add({claim.rule, claim.limit, claim.budget().window(), claim.standing});
  }
  return decision;
}

void Rules::allow(Claims& claims, Decision& decision, std::size_t worker, TimePoint now) const {
  decision.fields_ = fields_;
  for (Claim& claim : claims.all()) {
    if (claim.rule->enforced())
      decision.add({claim.rule, claim.limit, claim.budget().window(), claim.standing});
    if (!claim.standing.allowed) {
      claim.rule->shadow_refused.at(worker).add();
      if (claim.slot != nullptr) Claim::count(claim.slot->refused);
      continue;
    }
    claim.take(claims.who, worker, now);
    claim.rule->allowed.at(worker).add();
    if (claim.budget().kind() == Budget::Kind::concurrency)
      decision.held_.push_back({claim.rule->counters, claim.slot, claim.cost});
  }
}

namespace {

SubjectStatus status_of(Subjects::Slot& slot, const Rule& rule, TimePoint now) {
  const Budget& budget = rule.counters->subjects.budget(slot.tier);
  SubjectStatus status;
  status.subject =
      slot.name().empty() ? fmt::format("#{:08x}", slot.key >> 32U) : std::string(slot.name());
  if (slot.tier > 0) status.tier = rule.options.tiers[slot.tier - 1U].name;
  status.used = budget.most_at_once() - budget.check(slot.state(), now, 0).remaining;
  status.limit = budget.limit();
  status.allowed = slot.allowed;
  status.refused = slot.refused;
  return status;
}

std::vector<SubjectStatus> top_of(const Rule& rule, TimePoint now, std::size_t most) {
  std::vector<SubjectStatus> top;
  const auto above = [](const SubjectStatus& a, const SubjectStatus& b) {
    return std::pair(a.refused, a.used) > std::pair(b.refused, b.used);
  };
  Subjects& subjects = rule.counters->subjects;
  subjects.visit([&](Subjects::Slot& slot) {
    const bool full = top.size() >= most;
    if ((full && (most == 0 || slot.refused < top.front().refused)) ||
        subjects.budget(slot.tier).idle(slot.state(), now))
      return;
    top.push_back(status_of(slot, rule, now));
    std::ranges::push_heap(top, above);  // the least of them in front
    if (!full) return;
    std::ranges::pop_heap(top, above);
    top.pop_back();
  });
  std::ranges::sort(top, above);
  return top;
}

}  // namespace

std::vector<RuleStatus> Rules::snapshot(TimePoint now, std::size_t top) const {
  std::vector<RuleStatus> all;
  for (const auto& rule : rules_) {
    const RuleOptions& o = rule->options;
    RuleStatus status;
    status.name = o.name;
    status.mode = config::Value<Mode>::show(o.mode);
    status.algorithm = config::Value<Algorithm>::show(o.algorithm);
    status.rate =
        o.rate ? config::Value<config::Rate>::show(*o.rate) : fmt::format("{} at once", o.at_once);
    status.subject = o.subject;
    status.allowed = rule->allowed.total();
    status.refused = rule->refused.total();
    status.shadow_refused = rule->shadow_refused.total();
    status.shared = rule->shared.total();
    status.evicted = rule->evicted.total();
    const Subjects& subjects = rule->counters->subjects;
    status.subjects = subjects.size();
    status.capacity = subjects.capacity();
    status.bytes_at_most = subjects.bytes_at_most();
    status.top = top_of(*rule, now, top);
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace headroom::limit
