#include "headroom/config/values.h"

#include <gtest/gtest.h>
