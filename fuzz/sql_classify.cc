#include <algorithm>
#include <cstdlib>

#include "fuzz/input.h"
#include "headroom/sql/classify.h"
#include "headroom/sql/effects.h"

// A remembered decision is the one that the text would get by itself, and so is what it leaves behind.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static headroom::sql::Classifier classifier;
  const auto whole = input_text(data, size);
  const auto text = whole.substr(0, whole.find('\0'));  // as messages end them
  const auto remembered = classifier.decide(text);
  if (remembered->leaves_nothing == headroom::sql::effects_of(text).any()) std::abort();
  const auto made = headroom::sql::classify(text);
  if (remembered->hinted_primary) return 0;
  if (made.its_class != remembered->its_class || made.reads != remembered->reads ||
      made.writes != remembered->writes || made.functions != remembered->functions ||
      made.clock != remembered->clock || made.locks_rows != remembered->locks_rows)
    std::abort();
  return 0;
}
