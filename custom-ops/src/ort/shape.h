// Shapes with unknown sizes, and checks that name what was expected.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ort_dora {

// A size: known, or unknown (negative) with or without the model's own name for it.
struct Dim {
  int64_t size = -1;
  std::string symbol;
  bool known() const { return size >= 0; }
};

using Dims = std::vector<Dim>;
// Empty: absent (an optional input) or of unknown rank.
using Shape = std::optional<Dims>;

std::string ToString(const Dims& dims);

// The product of all sizes but the last, which are known.
int64_t RowsOf(const Dims& dims);

// An input that does not fit; the message names it, what was expected and what came.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Binds names of extents ("in", "out", "r") to sizes as inputs are checked, and refuses what contradicts them.
class ShapeCheck {
 public:
  // `shape` must be [labels...]; absent or unknown shapes pass. `stored_reversed`: the labels apply in reverse order.
  void Expect(std::string_view input, const Shape& shape, std::vector<std::string> labels, bool stored_reversed = false);
  // `shape` must have at least one extent, and its last one is `label`.
  void ExpectLast(std::string_view input, const Shape& shape, const std::string& label);
  // `shape` must equal that of another input.
  void ExpectEqual(std::string_view input, const Shape& shape, std::string_view other, const Shape& other_shape);

  // The extent's size as far as it is known.
  Dim operator[](const std::string& label) const;

 private:
  struct Bound {
    Dim dim;
    std::string input;
  };
  void Bind(std::string_view input, const Dims& shape, const std::string& expected, const std::string& label, const Dim& dim);
  std::map<std::string, Bound> bound_;
};

}  // namespace ort_dora
