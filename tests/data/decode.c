/* Decodes one batch with a SavedModel through TensorFlow's C API, without Python.
 *
 * decode DIR SOURCE_OP TOKENS_OP TOKENS_INDEX ROWS COLUMNS ID...
 *
 * Prints the ids that the model wrote, one row for each source. On an error prints TensorFlow's
 * message and exits 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <tensorflow/c/c_api.h>

static void check(TF_Status* status) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s\n", TF_Message(status));
  exit(1);
}

static TF_Tensor* read_source(char** arguments) {
  int64_t shape[2] = {atoll(arguments[0]), atoll(arguments[1])};
  int64_t count = shape[0] * shape[1];
  TF_Tensor* source = TF_AllocateTensor(TF_INT32, shape, 2, count * sizeof(int32_t));
  int32_t* ids = TF_TensorData(source);
  for (int64_t i = 0; i < count; i++) ids[i] = atoi(arguments[2 + i]);
  return source;
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

  TF_Output source = {TF_GraphOperationByName(graph, arguments[2]), 0};
  TF_Output tokens = {TF_GraphOperationByName(graph, arguments[3]), atoi(arguments[4])};
  TF_Tensor* input = read_source(arguments + 5);
  TF_Tensor* output = NULL;
  TF_SessionRun(session, NULL, &source, &input, 1, &tokens, &output, 1, NULL, 0, NULL, status);
  check(status);
  print_tokens(output);

  TF_DeleteTensor(input);
  TF_DeleteTensor(output);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
