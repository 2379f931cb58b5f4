#pragma once
namespace headroom::edge { class AccessLog {}; }
