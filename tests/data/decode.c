/* Decodes one batch with a SavedModel through TensorFlow's C API, without Python.
 *
 * decode DIR TOKENS_OP TOKENS_INDEX {OP int32|float32 RANK SIZE... VALUE...}...
 *
 * An input is named by its operation, and has its type, its shape, and all its values. Prints the ids that the model wrote, one row for each source. On an error prints TensorFlow's
 * message and exits 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>

static void check(TF_Status* status) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s\n", TF_Message(status));
  exit(1);
}

enum { MOST_INPUTS = 4, MOST_DIMENSIONS = 4 };

/* Reads an input from the arguments after its operation; moves them on to what follows it. */
static TF_Tensor* read_input(char*** arguments) {
  int is_float = strcmp(*(*arguments)++, "float32") == 0;
  int rank = atoi(*(*arguments)++);
  int64_t shape[MOST_DIMENSIONS], count = 1;
  for (int i = 0; i < rank; i++) count *= shape[i] = atoll(*(*arguments)++);
  TF_Tensor* input = TF_AllocateTensor(is_float ? TF_FLOAT : TF_INT32, shape, rank, count * 4);
  float* numbers = TF_TensorData(input);
  int32_t* ids = TF_TensorData(input);
  for (int64_t i = 0; i < count; i++) {
    if (is_float) numbers[i] = strtof(*(*arguments)++, NULL);
    else ids[i] = atoi(*(*arguments)++);
  }
  return input;
}

static void print_tokens(const TF_Tensor* tokens) {
  const int32_t* ids = TF_TensorData(tokens);
  for (int64_t row = 0; row < TF_Dim(tokens, 0); row++) {
    for (int64_t step = 0; step < TF_Dim(tokens, 1); step++) printf("%d ", *ids++);
    printf("\n");
  }
}

int main(int count, char** arguments) {
  if (count < 8) return 2;
  const char* tags[] = {"serve"};
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph, NULL, status);
  check(status);

  TF_Output tokens = {TF_GraphOperationByName(graph, arguments[2]), atoi(arguments[3])};
  TF_Output operations[MOST_INPUTS];
  TF_Tensor* inputs[MOST_INPUTS];
  int num_inputs = 0;
  char** rest = arguments + 4;
  while (*rest && num_inputs < MOST_INPUTS) {
    operations[num_inputs] = (TF_Output){TF_GraphOperationByName(graph, *rest++), 0};
    inputs[num_inputs++] = read_input(&rest);
  }
  TF_Tensor* output = NULL;
  TF_SessionRun(session, NULL, operations, inputs, num_inputs, &tokens, &output, 1, NULL, 0, NULL, status);
  check(status);
  print_tokens(output);

  for (int i = 0; i < num_inputs; i++) TF_DeleteTensor(inputs[i]);
  TF_DeleteTensor(output);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
