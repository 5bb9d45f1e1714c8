// The inputs and attributes that the operators with adapters in a bank have in common.
#pragma once

#include "ort/custom_op.h"

namespace ort_dora {

// The inputs of such an operator: two of its own, then bank, gains, scaling, rank and slot, then `last`.
std::vector<Port> PortsAround(const Port& first, const Port& second, const Port& last);
constexpr size_t kBankInput = 2;
constexpr size_t kAfterBank = kBankInput + 5;

// Attributes offset_a, offset_b, offset_g and max_rank.
std::vector<SizeAttribute> BankAttributes();

// Checks the shapes of the bank's inputs, and that A [max_rank,in], B [out,max_rank] and g [out] lie within its rows; `check`
// knows "in" and "out" as far as they are known. Throws InputError.
void CheckBank(ShapeCheck& check, const Attributes& attributes, const std::vector<Shape>& inputs);

// The bank of one run of a node, for x of `rows` rows. Checks the number of runs. Throws InputError.
AdapterBank BankOf(const Run& run, int64_t rows);

// Checks the slots and ranks in use, where they lie in the processor's memory. Throws InputError.
void CheckSlots(const AdapterBank& bank);

}  // namespace ort_dora
