#include "ort/bank.h"

namespace ort_dora {
namespace {

enum { kBank = kBankInput, kGains, kScaling, kRank, kSlot };

// Refuses a part of [rows,cols] elements that does not lie within a row of `row` elements. Sizes that are not known pass.
void CheckPart(const char* attribute, int64_t offset, const char* part, const Dim& rows, const Dim& cols, const char* input,
               const Dim& row) {
  if (!rows.known() || !cols.known() || !row.known()) return;
  const int64_t room = row.size - offset;  // both ≥ 0
  // Divided, not multiplied: the product may not be a number.
  if (room >= 0 && (cols.size == 0 || rows.size <= room / cols.size)) return;
  throw InputError("attribute " + std::string(attribute) + ": " + part + " of " + ToString({rows, cols}) + " at " +
                   std::to_string(offset) + " reaches beyond the rows of " + input + ", of " + std::to_string(row.size));
}

std::string At(const char* input, int64_t index) { return "input " + std::string(input) + ": element " + std::to_string(index) + " is "; }

}  // namespace

std::vector<Port> PortsAround(const Port& first, const Port& second, const Port& last) {
  return {first,
          second,
          {"bank", Type::kU},
          {"gains", Type::kFloat32},
          {"scaling", Type::kFloat32},
          {"rank", Type::kInt32},
          {"slot", Type::kInt32},
          last};
}

std::vector<SizeAttribute> BankAttributes() {
  return {{"offset_a", &Attributes::offset_a},
          {"offset_b", &Attributes::offset_b},
          {"offset_g", &Attributes::offset_g},
          {"max_rank", &Attributes::max_rank, 1}};
}

void CheckBank(ShapeCheck& check, const Attributes& attributes, const std::vector<Shape>& inputs) {
  check.Expect("bank", inputs[kBank], {"slots", "elements"});
  check.Expect("gains", inputs[kGains], {"slots", "channels"});
  check.Expect("scaling", inputs[kScaling], {"slots"});
  check.Expect("rank", inputs[kRank], {"slots"});
  check.Expect("slot", inputs[kSlot], {"runs"});
  const Dim in = check["in"], out = check["out"], one{1, ""}, max_rank{attributes.max_rank, ""};
  CheckPart("offset_a", attributes.offset_a, "A", max_rank, in, "bank", check["elements"]);
  CheckPart("offset_b", attributes.offset_b, "B", out, max_rank, "bank", check["elements"]);
  CheckPart("offset_g", attributes.offset_g, "g", one, out, "gains", check["channels"]);
}

AdapterBank BankOf(const Run& run, int64_t rows) {
  const Attributes& attributes = run.attributes;
  AdapterBank bank;
  bank.bank = run.inputs[kBank].data;
  bank.gains = static_cast<const float*>(run.inputs[kGains].data);
  bank.scaling = static_cast<const float*>(run.inputs[kScaling].data);
  bank.rank = static_cast<const int32_t*>(run.inputs[kRank].data);
  bank.slot = static_cast<const int32_t*>(run.inputs[kSlot].data);
  bank.dtype = run.types.U;
  bank.slots = run.shape(kBank)[0].size;
  bank.row_elements = run.shape(kBank)[1].size;
  bank.row_gains = run.shape(kGains)[1].size;
  bank.runs = run.shape(kSlot)[0].size;
  bank.offset_a = attributes.offset_a, bank.offset_b = attributes.offset_b, bank.offset_g = attributes.offset_g;
  bank.max_rank = attributes.max_rank;
  if (bank.runs == 0 || rows % bank.runs != 0) {
    throw InputError("input slot: expected a number of runs that divides the " + std::to_string(rows) + " rows of x, got " +
                     std::to_string(bank.runs));
  }
  return bank;
}

void CheckSlots(const AdapterBank& bank) {
  for (int64_t i = 0; i < bank.runs; ++i) {
    const int32_t slot = bank.slot[i];
    if (slot < -1 || slot >= bank.slots) {
      throw InputError(At("slot", i) + std::to_string(slot) + ", expected one of the " + std::to_string(bank.slots) +
                       " slots of bank, or -1 for none");
    }
    if (slot >= 0 && (bank.rank[slot] < 0 || bank.rank[slot] > bank.max_rank)) {
      throw InputError(At("rank", slot) + std::to_string(bank.rank[slot]) + ", expected 0 to max_rank, which is " +
                       std::to_string(bank.max_rank));
    }
  }
}

}  // namespace ort_dora
