#include <algorithm>

#include "engine.hpp"
#include "memory.hpp"
#include "tuning.hpp"

namespace unrolled {

using namespace tuning;

namespace {

/// A cache line: blocks begin with one, and what is taken from them is aligned to it.
constexpr Index kHeader = 64;

}  // namespace

Scratch::~Scratch() {
    while (blocks_ != nullptr) {
        Block* next = blocks_->next;
        free_memory(blocks_, blocks_->size);
        blocks_ = next;
    }
}

void Scratch::reset() {
    // the last call outgrew its first block: the next one gets a single block of the sum of all
    if (blocks_ != nullptr && blocks_->next != nullptr) {
        Index total = 0;
        while (blocks_ != nullptr) {
            Block* next = blocks_->next;
            total += blocks_->size;
            free_memory(blocks_, blocks_->size);
            blocks_ = next;
        }
        take(total - kHeader);
    }
    if (blocks_ != nullptr) blocks_->used = kHeader;
}

void* Scratch::take(Index bytes) {
    bytes = (bytes + kHeader - 1) / kHeader * kHeader;
    if (blocks_ == nullptr || blocks_->used + bytes > blocks_->size) {
        const Index size = std::max(bytes + kHeader, kMinScratch);
        auto* block = static_cast<Block*>(new_memory(size));
        *block = Block{blocks_, size, kHeader};
        blocks_ = block;
    }
    void* taken = reinterpret_cast<char*>(blocks_) + blocks_->used;
    blocks_->used += bytes;
    return taken;
}

Scratch& Scratch::of_thread() {
    static thread_local Scratch scratch;
    return scratch;
}

}  // namespace unrolled
