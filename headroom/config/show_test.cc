#include <gtest/gtest.h>

#include "headroom/config/config.h"
