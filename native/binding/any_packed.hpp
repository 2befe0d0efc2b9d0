// Packed weights of either scalar type, and addresses as Python passes them.
#pragma once

#include <nanobind/nanobind.h>

#include <array>
#include <memory>
#include <variant>

#include "driver/driver.hpp"

namespace unrolled {

template <class S>
S* at(std::int64_t address) {
    return reinterpret_cast<S*>(static_cast<std::uintptr_t>(address));
}

template <class S>
Parameters<S> parameters_at(const ParameterAddresses& a) {
    return {at<const S>(a[0]), at<const S>(a[1]), at<const S>(a[2]),
            at<const S>(a[3]), at<const S>(a[4]), at<const S>(a[5])};
}

class AnyPacked {
public:
    AnyPacked(const Spec& spec, bool is_double, const ParameterAddresses& addresses, Index threads) {
        const nanobind::gil_scoped_release free;
        if (is_double) {
            held_ = std::make_shared<const Packed<double>>(spec, parameters_at<double>(addresses), threads);
        } else {
            held_ = std::make_shared<const Packed<float>>(spec, parameters_at<float>(addresses), threads);
        }
    }
    template <class S>
    const std::shared_ptr<const Packed<S>>& shared() const {
        return std::get<std::shared_ptr<const Packed<S>>>(held_);
    }
    template <class S>
    const Packed<S>& as() const {
        return *shared<S>();
    }
    bool is_double() const { return std::holds_alternative<std::shared_ptr<const Packed<double>>>(held_); }
    /// A number made of every bit of the parameters there, whose elements have `size` bytes.
    std::uint64_t digest(const ParameterAddresses& addresses, Index size) const {
        return is_double() ? as<double>().digest(addresses, size) : as<float>().digest(addresses, size);
    }
    Index bytes() const { return is_double() ? as<double>().bytes() : as<float>().bytes(); }

private:
    std::variant<std::shared_ptr<const Packed<float>>, std::shared_ptr<const Packed<double>>> held_;
};

}  // namespace unrolled
