// headroom/sql/effects.h - what a statement leaves behind in its session: settings, and what cannot be carried to another server connection.
//
// Owns: nothing. Threads: none; a pure function of the text, bounded by its length.
// Invariants: (1) the text is read by PostgreSQL's lexical rules (strings, dollar quotes, nested comments), so that a word inside of a string is
//   no word; (2) what is not understood leaves nothing: what functions and DO blocks do inside is not seen (docs/sql.md, limits); but names
//   in escapes, and what comes behind a change of the rules in one text, may leave anything.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::sql {

// Why a client keeps its server connection beyond the transaction.
namespace pin {
inline constexpr std::uint16_t kListen = 1, kTemporary = 2, kHold = 4, kAdvisory = 8, kPrepare = 16,
                               kLoad = 32, kSetting = 64, kLarge = 128, kSession = 256;
}  // namespace pin
// "LISTEN, temporary table".
[[nodiscard]] std::string describe_pins(std::uint16_t pins);

struct Effects {
  // SET x TO DEFAULT, RESET x: in lower case.
  struct Default {
    std::string name;
    bool local = false;
    bool operator==(const Default&) const = default;
  };
  bool sets = false;        // a setting of the session may have changed
  bool sets_local = false;  // one of the transaction: it leaves nothing behind
  bool reads_otherwise =
      false;  // texts behind it may be read by other rules than here: reads_alike()
  std::vector<std::string>
      named{};  // settings that pg_settings does not list: of extensions, and role
  std::vector<Default> defaults{};  // of this text alone: merge() leaves them out
  bool reading = false;  // something is set by which texts are read (is_read_by()); likewise
  bool resets_all = false;
  bool drops_statements = false;  // DEALLOCATE ALL, DISCARD ALL
  std::string deallocates{};      // the one statement that all of the text is about
  std::uint16_t pins = 0;
  std::uint16_t unpins = 0;

  [[nodiscard]] bool any() const {
    return sets || resets_all || drops_statements || pins != 0 || unpins != 0 ||
           !deallocates.empty() || !defaults.empty() || reading;
  }
  void merge(const Effects& other);
};

[[nodiscard]] Effects effects_of(std::string_view text);
// The text for people: literals as ?, lists of them as one, without comments, white space as one space.
[[nodiscard]] std::string normalised(std::string_view text);

}  // namespace headroom::sql
