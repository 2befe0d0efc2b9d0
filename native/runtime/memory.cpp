#include "memory.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "tuning.hpp"

namespace unrolled {

using namespace tuning;

namespace {

constexpr std::align_val_t kAlignment{64};

#if defined(__linux__)
// The C library takes large blocks from the system and gives them back each time, and every page of 4 KiB that is
// touched is fetched and cleared anew, for a tenth of a training pass. Here they are taken in huge pages, where the
// system has any, and kept for the next pass. Until then the system may have them back, when it is short of memory.

struct Block {
    void* memory;
    Index size;
};

Index in_pages(Index bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

void* map(Index size) {
    // one page more than needed; what is before and after the aligned ones goes back
    void* mapped = mmap(nullptr, static_cast<std::size_t>(size + kHugePage), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    const auto page = static_cast<std::uintptr_t>(kHugePage);
    const std::uintptr_t before = (page - reinterpret_cast<std::uintptr_t>(mapped) % page) % page;
    char* aligned = static_cast<char*>(mapped) + before;
    if (before > 0) munmap(mapped, before);
    if (before < page) munmap(aligned + size, page - before);
    // only advice: without it, pages are small
    static_cast<void>(madvise(aligned, static_cast<std::size_t>(size), MADV_HUGEPAGE));
    return aligned;
}

void unmap(const Block& block) { munmap(block.memory, static_cast<std::size_t>(block.size)); }

/// Unused blocks, the one that was freed last at the end. While another thread holds the lock, or if one held it when
/// this process was forked, callers do without.
class FreeBlocks {
public:
    /// A block of this size, or null.
    void* take(Index size) {
        const std::unique_lock<std::mutex> lock(guard_, std::try_to_lock);
        if (!lock) return nullptr;
        for (std::size_t i = count_; i-- > 0;)
            if (blocks_[i].size == size) {
                void* memory = blocks_[i].memory;
                remove(i);
                return memory;
            }
        return nullptr;
    }
    void put(const Block& block) {
        const std::unique_lock<std::mutex> lock(guard_, std::try_to_lock);
        if (!lock || block.size > kMaxKeptMemory) return unmap(block);
#if defined(MADV_FREE)
        static_cast<void>(madvise(block.memory, static_cast<std::size_t>(block.size), MADV_FREE));
#endif
        while (total_ + block.size > kMaxKeptMemory) {
            unmap(blocks_[0]);
            remove(0);
        }
        blocks_[count_++] = block;
        total_ += block.size;
    }

private:
    void remove(std::size_t i) {
        total_ -= blocks_[i].size;
        std::copy(blocks_.begin() + i + 1, blocks_.begin() + count_--, blocks_.begin() + i);
    }

    std::mutex guard_;
    std::array<Block, kMaxKeptMemory / kMinLargeBlock> blocks_{};
    std::size_t count_ = 0;
    Index total_ = 0;
};

/// Never destroyed: tensors may outlive every destructor of the process.
FreeBlocks& free_blocks() {
    static FreeBlocks* const instance = new FreeBlocks;
    return *instance;
}
#endif

}  // namespace

void* new_memory(Index bytes) {
#if defined(__linux__)
    if (bytes > kMinLargeBlock) {
        void* kept = free_blocks().take(in_pages(bytes));
        return kept != nullptr ? kept : map(in_pages(bytes));
    }
#endif
    return ::operator new(static_cast<std::size_t>(bytes > 0 ? bytes : 1), kAlignment);
}

void free_memory(void* memory, Index bytes) noexcept {
#if defined(__linux__)
    if (bytes > kMinLargeBlock) return free_blocks().put({memory, in_pages(bytes)});
#endif
    ::operator delete(memory, kAlignment);
}

}  // namespace unrolled
