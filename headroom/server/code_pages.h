// headroom/server/code_pages.h - gives back the code that only the start needed. Called once, by main, when all doors are open.
#pragma once

namespace headroom::server {

// Unmaps the pages of code that have been touched so far (the kernel maps 64 KiB or more around each): what is needed again comes from the
// page cache by a minor fault. Only executable mappings, which nothing ever writes: not what the linker has relocated.
void forget_code_pages();

}  // namespace headroom::server
