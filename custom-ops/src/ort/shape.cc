#include "ort/shape.h"

#include <algorithm>

namespace ort_dora {
namespace {

template <class Items, class Text>
std::string Bracketed(const Items& items, Text text) {
  std::string out = "[";
  for (const auto& item : items) {
    if (out.size() > 1) out += ",";
    out += text(item);
  }
  return out + "]";
}

[[noreturn]] void Refuse(std::string_view input, const std::string& expected, const Dims& shape, const std::string& why) {
  throw InputError("input " + std::string(input) + ": expected " + expected + ", got " + ToString(shape) + why);
}

}  // namespace

std::string ToString(const Dims& dims) {
  return Bracketed(dims, [](const Dim& dim) {
    if (dim.known()) return std::to_string(dim.size);
    return dim.symbol.empty() ? std::string("?") : dim.symbol;
  });
}

int64_t RowsOf(const Dims& dims) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < dims.size(); ++i) rows *= dims[i].size;
  return rows;
}

void ShapeCheck::Expect(std::string_view input, const Shape& shape, std::vector<std::string> labels, bool stored_reversed) {
  if (!shape.has_value()) return;
  if (stored_reversed) std::reverse(labels.begin(), labels.end());
  const std::string expected = Bracketed(labels, [](const std::string& label) { return label; });
  if (shape->size() != labels.size()) Refuse(input, expected, *shape, "");
  for (size_t i = 0; i < labels.size(); ++i) Bind(input, *shape, expected, labels[i], (*shape)[i]);
}

void ShapeCheck::ExpectLast(std::string_view input, const Shape& shape, const std::string& label) {
  if (!shape.has_value()) return;
  const std::string expected = "[...," + label + "]";
  if (shape->empty()) Refuse(input, expected, *shape, "");
  Bind(input, *shape, expected, label, shape->back());
}

void ShapeCheck::ExpectEqual(std::string_view input, const Shape& shape, std::string_view other, const Shape& other_shape) {
  if (!shape.has_value() || !other_shape.has_value()) return;
  const auto fits = [](const Dim& a, const Dim& b) { return !a.known() || !b.known() || a.size == b.size; };
  if (std::equal(shape->begin(), shape->end(), other_shape->begin(), other_shape->end(), fits)) return;
  Refuse(input, ToString(*other_shape) + " as " + std::string(other) + " has", *shape, "");
}

Dim ShapeCheck::operator[](const std::string& label) const {
  const auto found = bound_.find(label);
  return found == bound_.end() ? Dim{} : found->second.dim;
}

void ShapeCheck::Bind(std::string_view input, const Dims& shape, const std::string& expected, const std::string& label,
                      const Dim& dim) {
  Bound& bound = bound_[label];
  if (!bound.dim.known()) {
    if (dim.known() || bound.dim.symbol.empty()) bound = {dim, std::string(input)};
    return;
  }
  if (!dim.known() || dim.size == bound.dim.size) return;
  Refuse(input, expected, shape, " (" + label + " is " + std::to_string(bound.dim.size) + " in " + bound.input + ")");
}

}  // namespace ort_dora
